"""The devnet's own contracts: Vyper sources and the artifacts compiled from them (so that booting needs no compiler).

`python -m keeper.devnet.contracts` writes the artifacts anew; a test proves that they are what the sources give.
"""
