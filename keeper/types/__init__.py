"""What flows through the keeper: small frozen values, no behaviour. Read this second, after `pipeline.py`.

Units are in the names: `_wei`, `_wad`, `_s` (unix seconds), `_block`. Token amounts are integers in the token's smallest unit.
"""

from keeper.types.base import ZERO_ADDRESS, Address, Cell, Factor, Hash, Key, Write
from keeper.types.chain import Audit, Block, ChainUpdate, Head, Landing, Log, LogFilter, Read
from keeper.types.execution import Action, Bid, Callback, Guard, Job, Outcome, SendResult, Sent, Simulation, Step, Verdict
from keeper.types.planning import LIQUIDATE, Deal, Fill, Funding, FundingKind, Hop, Pair, Plan, PoolKey, Prediction, Purchase, same_deal
from keeper.types.prices import PoolPrice, PriceFeed
from keeper.types.risk import Entries, Health, Leg, Quote, Row, RowBlock

__all__ = [
    "LIQUIDATE",
    "ZERO_ADDRESS",
    "Action",
    "Address",
    "Audit",
    "Bid",
    "Block",
    "Callback",
    "Cell",
    "ChainUpdate",
    "Deal",
    "Entries",
    "Factor",
    "Fill",
    "Funding",
    "FundingKind",
    "Guard",
    "Hash",
    "Head",
    "Health",
    "Hop",
    "Job",
    "Key",
    "Landing",
    "Leg",
    "Log",
    "LogFilter",
    "Outcome",
    "Pair",
    "Plan",
    "PoolKey",
    "PoolPrice",
    "Prediction",
    "PriceFeed",
    "Purchase",
    "Quote",
    "Read",
    "Row",
    "RowBlock",
    "SendResult",
    "Sent",
    "Simulation",
    "Step",
    "Verdict",
    "Write",
    "same_deal",
]
