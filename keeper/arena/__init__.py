"""The arena: the devnet with a block builder that takes bids, the daemon, and rivals in processes of their own.

It answers what no unit test can: how much of what there is to earn we get when others want it too, and why not the rest.
"""
