"""The suite a third party subclasses: say where a deployment is, and every check runs against it.

class TestMine(AdapterSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls) -> Deployment:
        return MyDeployment(...)
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from keeper.testing.adapter.case import Case
from keeper.testing.adapter.checks.health import Healths
from keeper.testing.adapter.checks.hostility import Hostility
from keeper.testing.adapter.checks.indexing import Indexing
from keeper.testing.adapter.checks.offers import Offers
from keeper.testing.adapter.checks.opening import Opening
from keeper.testing.adapter.checks.rows import Rows
from keeper.testing.adapter.checks.undoing import Undoing
from keeper.testing.adapter.deployment import Deployment
from keeper.testing.adapter.expect import require
from keeper.testing.adapter.life import Life, live


@pytest.mark.asyncio(loop_scope="session")
class AdapterSuite(Opening, Indexing, Undoing, Healths, Rows, Offers, Hostility):
    """Subclass it with a fixture `deployment` of scope "class". Where a check does not apply, its deployment says why in `exempt`."""

    @pytest.fixture(autouse=True)
    def applies(self, request: pytest.FixtureRequest, deployment: Deployment) -> None:
        """A check that does not apply says so."""
        unknown = [name for name in deployment.exempt if not hasattr(AdapterSuite, f"test_{name}")]
        require(not unknown, f"exempt from checks that there are not: {unknown}")
        name = request.function.__name__.removeprefix("test_")
        if name in deployment.exempt:
            reason = deployment.exempt[name]
            require(bool(reason.strip()) and "\n" not in reason, f"why {name} does not apply must be told in one line")
            pytest.skip(reason)

    @pytest_asyncio.fixture(scope="class", loop_scope="session")
    @classmethod
    async def life(cls, deployment: Deployment) -> AsyncIterator[Life]:
        async with live(deployment) as life:
            yield life

    @pytest_asyncio.fixture(scope="class", loop_scope="session")
    @classmethod
    async def case(cls, life: Life) -> Case:
        return Case(life)
