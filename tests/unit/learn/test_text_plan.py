"""What may be said of how the language model learns: what would change nothing is refused."""

import pytest

from intently.errors import ConfigError
from intently.learn.methods import METHODS, Sizes
from intently.learn.text_plan import TextPlan
from intently.text.language_model import load
from text_shop import TASK, URGENT
from tiny_models import encoder

LOSS = ({"smoothing": 0.1}, {"focus": 2.0}, {"agreement": 1.0}, {"attack": 0.5})
TRAINING = (*LOSS, {"rate": 2.0}, {"epochs": 8})


@pytest.mark.parametrize("said", TRAINING)
def test_what_trains_the_language_model_is_refused_where_it_is_not_trained_so(said):
    (name,) = said
    with pytest.raises(ConfigError, match=f"{name} is for training the language model") as raised:
        TextPlan(**said).check([TASK], "frozen")
    assert f"leave {name} out" in raised.value.mend
    with pytest.raises(ConfigError, match=f"{name} changes nothing where few_labels"):
        TextPlan(**said, few_labels="contrast").check([TASK], "full")
    TextPlan(**said).check([TASK], "full")
    TextPlan(**said, few_labels="prompt").check([TASK], "full")


def test_the_epochs_of_contrast_are_those_by_which_adalora_prunes():
    TextPlan(epochs=8, few_labels="contrast").check([TASK], "adalora")
    with pytest.raises(ConfigError, match="rate changes nothing"):
        TextPlan(rate=2.0, few_labels="contrast").check([TASK], "adalora")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_rank_is_refused_where_it_makes_nothing_larger(method, tmp_path):
    model = encoder(tmp_path / "model")

    def size(rank):
        network = method.apply(load(model)[1], Sizes(rank=rank), 100)
        return sum(weight.numel() for weight in network.parameters())

    plan = TextPlan(rank=4)
    if size(8) > size(4):
        plan.check([TASK], method.name)
        return
    with pytest.raises(ConfigError, match=f"the method {method.name} has none"):
        plan.check([TASK], method.name)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_not_said_is_never_refused(method):
    TextPlan().check([TASK, URGENT], method.name)
    TextPlan(typos=0.1, name_labels=True, fewest_steps=20).check([TASK], method.name)


def test_events_of_a_past_that_is_not_told_cannot_be_dropped():
    TextPlan(drop_events=0.2).check([URGENT], "full")
    with pytest.raises(ConfigError, match="labels as of asked_for are read from the text alone"):
        TextPlan(drop_events=0.2).check([URGENT, TASK], "full")


def test_what_a_search_draws_may_do_nothing():
    drawn = ("rate", "epochs", "rank", "smoothing")
    TextPlan(rate=2.0, epochs=3, rank=4, smoothing=0.1).check([TASK], "frozen", drawn)
    with pytest.raises(ConfigError, match="focus is for"):
        TextPlan(rate=2.0, focus=1.0).check([TASK], "frozen", drawn)
