"""Simple and strong opponents: each a predictor in one file, and listed here."""

from typing import Any

from intently.baselines.bg_nbd import BGNBD
from intently.baselines.category_shares import CategoryShares
from intently.baselines.co_visitation import CoVisitation
from intently.baselines.constant import Constant
from intently.baselines.last_weeks import LastWeeks
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lightgbm_hurdle import LightGBMHurdle
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.baselines.mean_56_days import Mean56Days
from intently.baselines.n_grams import NGrams
from intently.baselines.own_shares import OwnShares
from intently.baselines.past_spend import PastSpend
from intently.baselines.popularity import Popularity
from intently.baselines.repeat_purchase import RepeatPurchase

PLAIN: tuple[Any, ...] = (
    Constant,
    Popularity,
    RepeatPurchase,
    CoVisitation,
    OwnShares,
    CategoryShares,
    LastWeeks,
    Mean56Days,
    PastSpend,
    BGNBD,
    LightGBMHurdle,
    NGrams,
)

# These take a reading of the past as further columns: with it they are the stack.
BOOSTED: tuple[Any, ...] = (LightGBMCustomer, LightGBMShares, LightGBMRanking, LightGBMDemand)

ALL: tuple[Any, ...] = PLAIN + BOOSTED
