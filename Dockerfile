FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY .ci/constraints.txt .ci/
COPY keeper keeper
RUN python -m venv /opt/keeper \
    && /opt/keeper/bin/pip install --constraint .ci/constraints.txt . \
    && /opt/keeper/bin/pip uninstall --yes pip setuptools


FROM python:3.11-slim-bookworm

RUN useradd --no-log-init --uid 10001 --user-group --no-create-home --home-dir /data keeper \
    && install --directory --owner keeper --group keeper /data
COPY --from=build /opt/keeper /opt/keeper

ENV PATH=/opt/keeper/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    KEEPER_CONFIG=/etc/keeper/keeper.toml \
    KEEPER_DATA_DIR=/data \
    KEEPER_LOG_FORMAT=json
WORKDIR /data
VOLUME /data
USER 10001:10001

HEALTHCHECK --interval=30s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python", "-m", "keeper.monitor.health"]

# Mount the config at /etc/keeper/keeper.toml; for live runs, add "--live".
ENTRYPOINT ["keeper", "run"]
CMD ["--config", "/etc/keeper/keeper.toml"]
