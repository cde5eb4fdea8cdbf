"""`keeper bench`: what the keeper takes, measured beside what it is compared with.

Adding a measure: write `async def prepare(bed: Bed) -> Trial` that builds what it needs and returns the two calls to be timed, say what it
is in a `Measure`, put that into the module's `MEASURES`, and add the module to `catalogue.py`:

    async def _tick(bed: Bed) -> Trial:
        engine, path = loaded(bed.rows), values(walk(bed.rng(), 1000))
        full = bed.full_pass
        return Trial(lambda round_: engine.tick(path[round_]), lambda round_: full(path[round_]), named=full.name)

    MEASURES = (Measure("tick", "a price walk within 1 %, the exact change of the set", "full pass", _tick),)

The bed has the book of the size asked for (`population`, `rows`), the start values of its factors, and the fastest full pass numpy can do
over it, found once a size. A call gets the number of its round, so that every round can write changed values.
"""
