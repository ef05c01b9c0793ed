"""The reader of order alone: it learns a planted order, at a scale that lets it, and reads what it is told of items."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intently.errors import ConfigError, DataError
from intently.learn import network
from intently.learn.batches import Batches
from intently.learn.finetune import EvenGroups
from intently.learn.next_item import About, NextItemReader, Orders, _batches, _catalogue, _drawn
from intently.learn.presets import ORDER_PRESETS
from intently.learn.recipe import Recipe

ITEMS = 60
RECIPE = Recipe(
    pretrain_epochs=8, learning_rate=1e-2, histories_per_step=32, negatives=0, patience=6, threads=1, warmup=0.05
)
SHAPE = {
    "width": 32,
    "item_width": 32,
    "blocks": 1,
    "attention_heads": 4,
    "item_dropout": 0.0,
    "cosine": True,
    "items_alone": True,
}
READER = NextItemReader(RECIPE, SHAPE)
# One that reads the clock, the type and the numbers of a moment too.
CLOCKED = NextItemReader(RECIPE, {**SHAPE, "items_alone": False})


def orders(lists) -> Orders:
    return Orders(np.cumsum([0, *map(len, lists)]), np.concatenate([np.asarray(one, dtype=np.int64) for one in lists]))


def fit(reader: NextItemReader, train: Orders, held_out: Orders | None = None, about: About | None = None):
    return reader.fit(train.sequences, ITEMS, None if held_out is None else held_out.sequences, about)


def planted(histories: int = 400, seed: int = 0) -> Orders:
    """After item i comes i + 1, but now and then any item; a few items are met far more often than others."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(histories):
        one = [int(rng.integers(ITEMS) if rng.random() < 0.7 else rng.integers(3))]
        for _ in range(int(rng.integers(3, 9))):
            one.append((one[-1] + 1) % ITEMS if rng.random() < 0.8 else int(rng.integers(ITEMS)))
        lists.append(one)
    return orders(lists)


def found_at_1(fitted, histories: Orders) -> float:
    return float((fitted.top(histories.without_last(1).sequences, 1, seen=True)[0][:, 0] == histories.last).mean())


@pytest.fixture(scope="module")
def fitted():
    return fit(READER, planted(), planted(seed=1))


def test_it_learns_the_planted_order_and_no_more_than_can_be_known(fitted):
    # 80.3 % of what comes next is i + 1; the most popular item is 4 % at best.
    assert 0.6 < found_at_1(fitted, planted(seed=2)) < 0.9


def test_training_is_judged_by_the_rank_of_what_came_next(fitted):
    held_out = planted(seed=1)
    code, _ = fitted.top(held_out.without_last(1).sequences, ITEMS, seen=True)
    rank = 1 + (code == held_out.last[:, None]).argmax(axis=1)
    # Groups of histories count alike, the last of them is smaller.
    assert min(fitted.curve) == pytest.approx(float(1 - (1 / np.log2(1 + rank)).mean()), abs=0.02)
    assert min(fitted.curve) < fitted.curve[0]


def test_what_was_seen_is_left_out(fitted):
    histories = planted(40, seed=3)
    code, score = fitted.top(histories.sequences, 20)
    for row in range(len(histories)):
        seen = histories.item[histories.start[row] : histories.start[row + 1]]
        assert not set(code[row]) & set(seen)
    assert (np.diff(score, axis=1) <= 0).all()


def test_the_ranking_is_that_of_queries_and_vectors(fitted):
    histories = planted(30, seed=4)
    vectors, bias = fitted.items()
    logits = fitted.queries(histories.sequences) @ vectors.T + bias
    code, score = fitted.top(histories.sequences, 5, seen=True)
    np.testing.assert_allclose(np.sort(logits, axis=1)[:, ::-1][:, :5], score, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(logits, code, axis=1), score, rtol=1e-4, atol=1e-4)


def test_a_history_is_read_the_same_alone_and_in_company(fitted):
    histories = planted(50, seed=5)
    together = fitted.queries(histories.sequences)
    alone = np.concatenate([fitted.queries(histories.take(np.array([row])).sequences) for row in range(8)])
    np.testing.assert_allclose(alone, together[:8], rtol=1e-3, atol=1e-4)


def made_of(histories: Orders) -> dict:
    """A batch of histories, with the whole catalogue."""
    data = _batches(histories.sequences, _catalogue(histories.sequences, ITEMS, About()), 50)
    return data.collate(np.arange(len(histories)))


def loudness(reader: NextItemReader) -> dict[str, float]:
    """How loud each part of what is read is at first, against the items, and how far logits lie apart."""
    blank = replace(reader, recipe=replace(reader.recipe, pretrain_epochs=1, learning_rate=0.0))
    made = fit(blank, planted(40))
    parts = made.network.reader
    with torch.no_grad():
        vectors, _ = made._items()
        # What is read of a moment besides its items.
        told = made_of(planted(20, seed=6))
        items = parts._baskets(told, parts.read(vectors)[told["line_item"]])
        rest = parts._moments(told, vectors) - items
        histories = planted(60, seed=6)
        logits = made.queries(histories.sequences) @ made.items()[0].T
    return {"rest": float(rest.std() / items.std()), "logits": float(np.std(logits))}


def test_at_first_items_are_the_loudest_of_what_is_read_and_logits_are_of_a_size_to_learn_from():
    found = loudness(CLOCKED)
    assert found["rest"] < 0.5
    assert 0.5 < found["logits"] < 8
    assert loudness(READER)["rest"] == 0


@pytest.mark.parametrize("broken", ["places", "items"])
def test_a_broken_scale_is_noticed_and_costs_what_is_learned(monkeypatch, broken):
    """Positions at unit variance against items at .02 leave a reader at popularity: it runs, and learns nothing."""
    if broken == "places":
        init = network.Reader.__init__

        def louder(self, shape, text):
            init(self, shape, text)
            # As positions of N(0, 1) are to items of .02.
            torch.nn.init.normal_(self.hour.weight, std=50.0)

        monkeypatch.setattr(network.Reader, "__init__", louder)
    else:
        monkeypatch.setattr("intently.learn.heads.COSINE_SCALE", 0.05)
    found = loudness(CLOCKED)
    assert found["rest"] > 0.5 or not 0.5 < found["logits"] < 8
    assert found_at_1(fit(CLOCKED, planted(), planted(seed=1)), planted(seed=2)) < 0.3


def test_sampled_negatives_stand_for_the_whole_catalogue():
    sampled = replace(READER, recipe=replace(RECIPE, negatives=30))
    fitted, later = fit(sampled, planted(), planted(seed=1)), planted(seed=2)
    assert found_at_1(fitted, later) > 0.55
    # Nobody's answer depends on whom, and so on which items, it is asked for together with.
    together = fitted.queries(later.sequences)
    alone = [fitted.queries(later.take(np.array([row])).sequences)[0] for row in (0, 7, 41)]
    np.testing.assert_allclose(alone, together[[0, 7, 41]], atol=1e-4)


@pytest.mark.parametrize("negatives", [0, 30])
def test_what_is_no_item_is_read_and_never_asked_for(negatives):
    lists = [np.where(np.arange(len(one)) % 2, -1, one) for one in np.split(planted().item, planted().start[1:-1])]
    histories = orders(lists)
    recipe = replace(RECIPE, negatives=negatives, pretrain_epochs=2)
    fitted = replace(READER, recipe=recipe).fit(histories.sequences, ITEMS, histories.sequences)
    assert all(0 < loss < 1 for loss in fitted.curve)
    batch = _drawn(_batches(histories.sequences, fitted.catalogue, 51), negatives).collate(np.arange(40))
    fitted.network.train()
    fitted.network.pretraining = True
    # Cross-entropy is not below 0, whatever is learned of what stands for no item.
    fitted.network.reader.items.popularity.data[1] = 9.0
    assert fitted.network(**batch)["loss"] > 0


def test_who_has_seen_nothing_asks_for_nothing_and_gets_what_everybody_meets(fitted):
    whole = planted(4, seed=3).sequences
    none = replace(whole, visible=np.array([0, *whole.visible[1:]]))
    queries, before = fitted.queries(none), fitted.queries(whole)
    assert not queries[0].any()
    np.testing.assert_allclose(queries[1:], before[1:], atol=1e-5)


def test_what_is_held_out_is_judged_among_all_items_however_it_is_learned():
    drawn = replace(RECIPE, negatives=2, pretrain_epochs=1)
    later = planted(12 * RECIPE.histories_per_step, seed=1)
    found = replace(READER, recipe=drawn).fit(planted().sequences, ITEMS, later.sequences)
    code, _ = found.top(later.without_last(1).sequences, ITEMS, seen=True)
    rank = np.argmax(code == later.last[:, None], axis=1)
    assert found.curve[0] == pytest.approx(1 - (1 / np.log2(rank + 2)).mean(), abs=1e-3)


def even_groups(histories: Orders) -> EvenGroups:
    return EvenGroups(_batches(histories.sequences, _catalogue(histories.sequences, ITEMS, About()), 6), 32, 0)


def test_even_steps_hold_as_many_moments_each_and_every_history_that_teaches_once():
    histories = orders([*([0, 1, 2, 3, 4, 5, 6, 7],) * 100, *([1, 2],) * 300, [3]])
    groups = even_groups(histories)
    assert len(groups) == 13  # 400 histories of two moments or more, 32 a step
    found = [groups[number][1] for number in range(len(groups))]
    assert sorted(np.concatenate(found)) == list(range(400))
    # Of a history of eight moments six are read; 1200 in all.
    moments = [np.minimum(histories.length[group], 6).sum() for group in found]
    assert np.ptp(moments) <= 2 * 6


def test_an_even_step_holds_a_history_however_long_others_are():
    histories = orders([np.arange(50), [1, 2], [2, 3], [3, 4]])
    data = _batches(histories.sequences, _catalogue(histories.sequences, ITEMS, About()), 50)
    groups = EvenGroups(data, 1, 0)
    assert sorted(int(groups[number][1].item()) for number in range(4)) == [0, 1, 2, 3]


def test_even_steps_are_grouped_anew_every_epoch(monkeypatch):
    groups = even_groups(planted(100))
    first = [set(groups[number][1]) for number in range(len(groups))]
    groups.set_epoch(1)
    assert first != [set(groups[number][1]) for number in range(len(groups))]
    groups.set_epoch(0)
    assert first == [set(groups[number][1]) for number in range(len(groups))]
    told = []
    monkeypatch.setattr(
        EvenGroups,
        "set_epoch",
        lambda self, epoch, really=EvenGroups.set_epoch: (told.append(epoch), really(self, epoch)),
    )
    fit(replace(READER, recipe=replace(RECIPE, pretrain_epochs=3, even_steps=True)), planted(60))
    assert set(told) == {0, 1, 2}


@pytest.mark.parametrize("reader", [READER, CLOCKED])
def test_histories_packed_into_rows_are_read_as_if_each_had_its_own(reader, monkeypatch):
    histories = orders([np.arange(place % 11 + 1) * 7 % ITEMS for place in range(60)])
    network = fit(replace(reader, shape={**reader.shape, "dropout": 0.0}), planted(60)).network
    network.train().pretraining = True
    apart = _batches(histories.sequences, _catalogue(planted(60).sequences, ITEMS, About()), 8)
    packed = replace(apart, packed=True)
    chosen = np.random.default_rng(0).permutation(60)
    rows, places = packed.collate(chosen)["moment_age"].shape
    assert rows < 60
    assert rows * places < 1.2 * np.minimum(histories.length, 8).sum()
    found = []
    for data in (apart, packed):
        network.zero_grad()
        loss = network(**data.collate(chosen))["loss"]
        loss.backward()
        found.append([loss.detach(), *(each.grad for each in network.parameters() if each.grad is not None)])
    for alone, together in zip(*found, strict=True):
        torch.testing.assert_close(together, alone, rtol=2e-2, atol=2e-4)
    told = []
    monkeypatch.setattr(
        Batches,
        "collate",
        lambda self, chosen, really=Batches.collate: (told.append(self.packed), really(self, chosen))[1],
    )
    fit(replace(reader, recipe=replace(RECIPE, pretrain_epochs=1, even_steps=True)), planted(60), planted(60, 1))
    assert set(told) == {True, False}


@pytest.mark.parametrize("preset", ORDER_PRESETS)
def test_every_preset_can_be_trained(preset):
    reader = ORDER_PRESETS[preset]
    fitted = fit(replace(reader, recipe=replace(reader.recipe, pretrain_epochs=1, threads=1)), planted(60))
    code, _ = fitted.top(planted(5).sequences, 3)
    assert code.shape == (5, 3)


def attributes() -> About:
    """Items i and i + 30 have the same two attributes, which no other item has both of."""
    value = np.array([[code % 6, 6 + code % 30 // 6] for code in range(ITEMS)])
    return About(value.reshape(-1), np.arange(0, 2 * ITEMS + 1, 2))


def texts() -> About:
    table = np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32)
    return About(text=table[np.arange(ITEMS) % 30])


@pytest.mark.parametrize("about", [attributes(), texts()], ids=["attributes", "text"])
def test_an_item_nobody_met_is_found_by_what_is_known_of_it(about):
    rng = np.random.default_rng(0)
    # Items from 30 on are never met in training: i stands for i + 30 there.
    lists = [np.arange(first, first + 5) % 30 for first in rng.integers(0, 30, 300)]
    reader = replace(READER, shape={**SHAPE, "item_dropout": 0.3})
    made = fit(reader, orders(lists), about=about)
    asked = orders([np.arange(first, first + 4) for first in range(30, 50)])
    vectors, bias = made.items()
    new = (made.queries(asked.sequences) @ vectors.T + bias)[:, 30:].argmax(axis=1) + 30
    assert (new == np.arange(34, 54)).mean() > 0.4
    blind = fit(reader, orders(lists))
    vectors, bias = blind.items()
    new = (blind.queries(asked.sequences) @ vectors.T + bias)[:, 30:].argmax(axis=1) + 30
    assert (new == np.arange(34, 54)).mean() < 0.2


def test_without_a_part_of_its_own_an_item_is_its_text():
    made = fit(READER, planted(60), about=replace(texts(), own_from=None))
    vectors, _ = made.items()
    np.testing.assert_array_equal(vectors[:30], vectors[30:])


def test_an_item_met_too_seldom_is_read_as_if_new():
    lists = [[0, 1, 2, 3], [0, 1, 2], [0, 1], [0, 1]]
    made = fit(replace(READER, recipe=replace(RECIPE, pretrain_epochs=1)), orders(lists), about=About(own_from=3))
    assert made.catalogue.delta[:4].tolist() == [1, 2, 0, 0]
    assert made.catalogue.count[:4].tolist() == [4, 4, 0, 0]


def test_two_fits_are_equal_and_another_seed_is_not():
    small = replace(READER, recipe=replace(RECIPE, pretrain_epochs=1))
    one, two = (fit(small, planted(60)).queries(planted(5).sequences) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = fit(replace(small, recipe=replace(small.recipe, seed=1)), planted(60)).queries(planted(5).sequences)
    assert np.abs(one - other).max() > 0.01


def test_cosines_need_one_width():
    with pytest.raises(ConfigError, match="width is not item_width"):
        fit(replace(READER, shape={**SHAPE, "width": 16}), planted(20))


def test_histories_of_one_item_teach_nothing():
    with pytest.raises(DataError, match="nothing comes next"):
        fit(READER, orders([[1], [2]]))
