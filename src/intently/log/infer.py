"""How a shop's files map to our schema, guessed from names (English, Chinese) and from what the columns hold.

Every guess carries its reason and what came second. Guesses are made on the first rows of each table.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from intently.errors import DataError
from intently.log import clock, schema
from intently.log.alias import RETURN, Dialect, dialect_of
from intently.log.columns import numbers
from intently.log.draft import Draft, Guess
from intently.log.names import EVENT_TYPES, OF_CUSTOMERS, plain
from intently.log.recognise import EVENTS, ITEMS, Choice, chosen, is_personal
from intently.log.source import MANIFEST, manifest_of
from intently.log.sql import is_url
from intently.log.tables import ROWS, Table, encoding_of, eventful, found_tables, keyed
from intently.log.times import span_end

_FEWEST_TITLES = 30
# What stands of an item or a customer is taken as always having been known.
_UNSURE_PAST = ": take it if it was so from the first day on, and leave out what changes with the sales"


def draft_of(source: str | Path, beside: Path) -> Draft:
    """A guessed mapping of a file, a folder or a database; paths are written as seen from the folder `beside`."""
    tables = found_tables(source, beside)
    roles = {name: chosen(table.frame, EVENTS) for name, table in tables.items()}
    events = max(tables, key=lambda name: eventful(tables[name], roles[name]))
    main, found = tables[events], roles[events]
    dialect = dialect_of(main.frame.columns)
    items = users = None
    others = {name: table for name, table in tables.items() if name != events}
    if dialect is None:
        _insist(main, found)
        items = keyed(others, main.frame, found.get(schema.ITEM), schema.ITEM)
        users = keyed(
            {name: table for name, table in others.items() if name != items},
            main.frame,
            found.get(schema.USER),
            schema.USER,
        )
    named = {"events": events, "items": items, "users": users}
    options = [guess for name, one in named.items() if one for guess in _places(name, tables[one], len(tables))]
    options += _encoding(tables[one] for one in named.values() if one)
    options += _span(source)
    if dialect is not None:
        return _known(dialect, options)
    return _drafted(main.frame, found, options, *(tables[one].frame if one else None for one in (items, users)))


def _encoding(tables: Iterable[Table]) -> list[Guess]:
    encoding = encoding_of(tables)
    why = "it is not UTF-8, and makes sense so"
    return [] if encoding == "utf-8" else [Guess("encoding", encoding, why, "cp1252", sure=False)]


def _span(source: str | Path) -> list[Guess]:
    """The span that a folder's manifest states; a file of that name may be another's."""
    manifest = Path(source).expanduser() / MANIFEST
    if is_url(source) or not manifest.is_file():
        return []
    try:
        said = manifest_of(manifest)
    except DataError:
        return []
    stated = {name: span_end(value, "UTC") for name, value in said.items() if value is not None}
    return [Guess(name, at.isoformat(), f"{MANIFEST} says so") for name, at in stated.items()]


def _insist(table: Table, found: Mapping[str, Choice]) -> None:
    missing = []
    if schema.TIME not in found:
        missing.append("a time")
    if schema.USER not in found and schema.SESSION not in found:
        missing.append("a customer or an order number")
    if missing:
        raise DataError(
            f"No column of {table.where} could be told to be {' or '.join(missing)}: there are "
            f"{', '.join(table.frame.columns)}.",
            mend="Write intently.toml by hand; docs/log.md has an example.",
        )


def _known(dialect: Dialect, options: Sequence[Guess]) -> Draft:
    why = f"the columns {', '.join(dialect.marks[:3])} are those of {dialect.name}"
    guess = Guess("dialect", dialect.name, why)
    note = f"The names of {dialect.name} are known; a line under [data.columns] would go before them."
    return Draft((*options, guess), notes=(note,))


def _drafted(
    events: pl.DataFrame,
    found: Mapping[str, Choice],
    options: Sequence[Guess],
    items: pl.DataFrame | None,
    users: pl.DataFrame | None,
) -> Draft:
    columns = [
        _guess(ours, found[ours]) for ours in EVENTS if ours in found and ours not in (schema.PRICE, schema.TYPE)
    ]
    columns = [
        _customer(guess, events, found) for guess in columns if guess.ours not in (schema.QUANTITY, schema.AMOUNT)
    ]
    money, is_return = _money(events, found)
    kinds, types = _types(events, found, is_return)
    item_columns = _about_items(events if items is None else items, found, items is not None)
    used = {one.column for one in found.values()} | {guess.theirs for guess in item_columns}
    user_columns = (
        _about_users(events, found[schema.USER].column, used) if users is None and schema.USER in found else []
    )
    if users is not None:
        user_columns = [_guess(schema.USER, one) for one in chosen(users, (schema.USER,)).values()]
        user_columns += [guess for key in user_columns for guess in _about_users(users, key.theirs, {key.theirs})]
    used = _used((*columns, *kinds, *money, *item_columns, *user_columns), events)
    used |= {one.column for one in found.values()}
    zone = clock.zone(events, found[schema.TIME].column)
    days = clock.day_first(events[found[schema.TIME].column])
    notes = []
    if schema.USER in found and _share(events[found[schema.USER].column], r"^\S+@\S+\.\S+$") > 0.5:
        notes.append("Customers are named by e-mail addresses: hash_ids = true under [protect] hides them.")
    return Draft(
        options=(*options, zone, *([days] if days else [])),
        columns=(*columns, *kinds, *money),
        item_columns=tuple(item_columns),
        user_columns=tuple(user_columns),
        event_types=tuple(types),
        left=tuple(_left(events, used)),
        items_left=() if items is None else tuple(_left(items, _used(item_columns, items), _UNSURE_PAST)),
        users_left=() if users is None else tuple(_left(users, _used(user_columns, users), _UNSURE_PAST)),
        notes=tuple(notes),
    )


def _customer(guess: Guess, events: pl.DataFrame, found: Mapping[str, Choice]) -> Guess:
    """The customer's guess, with what stands for those who are not named."""
    if guess.ours != schema.USER or not events[guess.theirs].null_count():
        return guess
    share = events[guess.theirs].null_count() / len(events)
    session = found.get(schema.SESSION)
    instead = (
        "and nothing stands for them" if session is None else f"where the session ({session.column}) stands for them"
    )
    return replace(
        guess, why=f"{guess.why}; empty on {share:.0%} of rows, {instead}", sure=guess.sure and session is not None
    )


def _guess(ours: str, choice: Choice) -> Guess:
    return Guess(ours, choice.column, choice.why, choice.second, choice.sure)


def _money(events: pl.DataFrame, found: Mapping[str, Choice]) -> tuple[list[Guess], str]:
    """Quantity and amount, never negative, and the condition that tells a return."""
    guesses: list[Guess] = []
    conditions: list[str] = []
    price, quantity, amount = (found.get(name) for name in (schema.PRICE, schema.QUANTITY, schema.AMOUNT))
    units = None if quantity is None else _numeric(events, quantity.column)
    if order := _return_orders(events, found, units):
        conditions.append(order)
    signed = units is not None and bool((units < 0).any())
    counted = "" if quantity is None else _sql(quantity.column)
    if quantity is not None and units is not None:
        why = quantity.why
        if signed:
            conditions.append(f"{counted} < 0")
            why += f"; {int((units < 0).sum()):,} of {len(units):,} are negative: those are returns, counted from 0 up"
        counted = f"ABS({counted})" if signed else counted
        guesses.append(
            Guess(schema.QUANTITY, counted if signed else quantity.column, why, quantity.second, quantity.sure)
        )
    if amount is not None and _is_order_total(events, found):
        why = f"{amount.column!r} is the same on every row of an order: the order's total, not the row's"
        if price is not None and quantity is not None:
            theirs = f"{counted} * {_sql(price.column)}"
            return [*guesses, Guess(schema.AMOUNT, theirs, why, amount.column, sure=False)], " OR ".join(conditions)
        return [
            *guesses,
            Guess(schema.AMOUNT, amount.column, f"{why}, and there is no other", "", sure=False),
        ], " OR ".join(conditions)
    if amount is not None:
        negative = int((_numeric(events, amount.column) < 0).sum())
        theirs, why = amount.column, amount.why
        if negative:
            theirs = f"ABS({_sql(amount.column)})"
            why += f"; {negative:,} are negative: those are returns"
            conditions += [] if signed else [f"{_sql(amount.column)} < 0"]
        guesses.append(Guess(schema.AMOUNT, theirs, why, amount.second, amount.sure))
    elif price is not None and quantity is not None:
        why = f"no column of totals; {price.column!r} holds prices of one unit and {quantity.column!r} units"
        negative = int((_numeric(events, price.column) < 0).sum())
        if negative:
            why += f". {negative:,} prices are negative (corrections?) and stay so, for the check to set aside"
        guesses.append(Guess(schema.AMOUNT, f"{counted} * {_sql(price.column)}", why, price.column, price.sure))
    elif price is not None:
        why = f"there is neither a column of totals nor of units: {price.column!r} is taken as what was paid"
        guesses.append(Guess(schema.AMOUNT, price.column, why, "", sure=False))
    return guesses, " OR ".join(conditions)


def _return_orders(events: pl.DataFrame, found: Mapping[str, Choice], units: pl.Series | None) -> str:
    """A letter that begins the numbers of orders with negative units: C536379."""
    session = found.get(schema.SESSION)
    if session is None or units is None or events[session.column].dtype != pl.String:
        return ""
    letters = events.select(
        pl.col(session.column).str.extract(r"^([A-Za-z]+)\d").alias("letter"), (units < 0).alias("negative")
    )
    shares = letters.group_by("letter").agg(pl.len(), pl.col("negative").mean()).filter(pl.col("letter").is_not_null())
    telling = shares.filter((pl.col("negative") > 0.95) & (pl.col("len") >= 10) & (pl.col("len") < 0.5 * len(events)))
    return " OR ".join(f"{_sql(session.column)} LIKE '{letter}%'" for letter in telling["letter"].sort())


def _is_order_total(events: pl.DataFrame, found: Mapping[str, Choice]) -> bool:
    """Whether the amount is one for a whole order of several different rows."""
    session, amount, other = (found.get(name) for name in (schema.SESSION, schema.AMOUNT, schema.PRICE))
    other = other or found.get(schema.ITEM)
    if session is None or amount is None or other is None:
        return False
    orders = events.group_by(session.column).agg(
        pl.col(amount.column).n_unique().alias("amounts"), pl.col(other.column).n_unique().alias("others")
    )
    several = orders.filter(pl.col("others") > 1)
    return len(several) >= 5 and bool((several["amounts"] == 1).mean() > 0.95)  # type: ignore[operator]


def _types(events: pl.DataFrame, found: Mapping[str, Choice], is_return: str) -> tuple[list[Guess], list[Guess]]:
    """The event type: a column with its words mapped, or a sale on every row (and returns)."""
    if schema.TYPE not in found:
        sold = any(name in found for name in (schema.AMOUNT, schema.PRICE, schema.QUANTITY))
        why = "no column of event types; " + (
            "with money or units on it, each row is a sale" if sold else "taken as sales"
        )
        if not is_return:
            return [Guess(schema.TYPE, "'buy'", why, "", sold)], []
        theirs = f"CASE WHEN {is_return} THEN '{RETURN}' ELSE '{schema.BUY}' END"
        return [Guess(schema.TYPE, theirs, f"{why}; a row is a return where {is_return}", "'buy' for all")], []
    choice = found[schema.TYPE]
    words = events[choice.column].drop_nulls().cast(pl.String).value_counts(sort=True)
    types = []
    for word, count in words.head(60).iter_rows():
        ours = next((name for name, known in EVENT_TYPES.items() if plain(word) in known), None)
        if ours is None:
            why = f"{count:,} rows; not a word that is known here, so it is kept as it is"
            types.append(Guess(word, word, why, "", sure=False))
        elif ours != word:
            types.append(Guess(word, ours, f"{count:,} rows"))
    return [_guess(schema.TYPE, choice)], types


def _about_items(frame: pl.DataFrame, found: Mapping[str, Choice], own: bool) -> list[Guess]:
    key = found.get(schema.ITEM)
    if key is None:
        return []
    taken = set() if own else {one.column for name, one in found.items() if name != schema.PRICE}
    said = chosen(frame.drop(taken, strict=False), ITEMS if own else ITEMS[1:])
    said = {ours: one for ours, one in said.items() if not is_personal(one.column)}
    if not own:
        # With the events' rows, what is said of an item must hold for (nearly) all of its rows.
        said = {
            ours: one for ours, one in said.items() if ours == schema.PRICE or _belongs(frame, key.column, one.column)
        }
    elif schema.ITEM not in said and key.column in frame.columns:
        said[schema.ITEM] = Choice(key.column, "as in the events")
    where = "" if own else "; items are taken from the events, each as it was first sold"
    guesses = [Guess(ours, one.column, one.why + where, one.second, one.sure) for ours, one in said.items()]
    if schema.CATEGORY not in said and schema.TITLE in said:
        guesses += _kind_of_thing(frame, said[schema.TITLE].column)
    return guesses


def _kind_of_thing(frame: pl.DataFrame, title: str) -> list[Guess]:
    """The last word of a title as a category, where titles have words and share their last ones."""
    says = f"REVERSE(SPLIT_PART(REVERSE(TRIM({_sql(title)})), ' ', 1))"
    titles = frame[title].cast(pl.String, strict=False).drop_nulls().unique()
    kinds = titles.to_frame("title").select(pl.col("title").str.strip_chars().str.split(" ").list.last()).to_series()
    common = kinds.value_counts(sort=True, name="times")
    # A kind of thing has several things; a last word that every title has for itself is none.
    if len(titles) < _FEWEST_TITLES or len(common) > len(titles) / 3:
        return []
    named = ", ".join(str(kind) for kind in common[kinds.name].head(3))
    why = f"no column of categories; the last word of {title!r} says what kind of thing it is: {named}, ..."
    return [Guess(schema.CATEGORY, says, why, sure=False)]


def _about_users(frame: pl.DataFrame, key: str, used: Collection[str]) -> list[Guess]:
    return [
        Guess(plain(column), column, f"{column!r} is said of customers and is the same on (nearly) all of their rows")
        for column in frame.columns
        if column not in used and plain(column) in OF_CUSTOMERS and _belongs(frame, key, column)
    ]


def _belongs(frame: pl.DataFrame, key: str, column: str) -> bool:
    """Whether a column says one thing of each key: on 90 % of rows its commonest value."""
    pairs = frame.select(key, column).drop_nulls().group_by(key, column).len()
    rows = pairs["len"].sum()
    return bool(rows) and int(pairs.group_by(key).agg(pl.col("len").max())["len"].sum()) > 0.9 * int(rows)


def _left(frame: pl.DataFrame, used: Collection[str], note: str = "") -> Iterable[Guess]:
    """The columns that no line takes, each with its kind."""
    for column in frame.columns:
        if column in used:
            continue
        name = re.sub(r"\W+", "_", column).strip("_").lower() or column
        if is_personal(column):
            yield Guess(name, column, "personal: no model needs it")
        elif note:
            yield Guess(name, column, f"{frame[column].dtype}{note}")
        else:
            kind = "a number: read as context" if frame[column].dtype.is_numeric() else f"{frame[column].dtype}"
            yield Guess(name, column, kind)


def _used(guesses: Iterable[Guess], frame: pl.DataFrame) -> set[str]:
    return {name for guess in guesses for name in _names(guess, frame)}


def _names(guess: Guess, events: pl.DataFrame) -> set[str]:
    if guess.theirs in events.columns:
        return {guess.theirs}
    return {column for column in events.columns if _sql(column) in guess.theirs}


def _numeric(events: pl.DataFrame, column: str) -> pl.Series:
    values = events[column]
    return numbers(values) if values.dtype == pl.String else values.cast(pl.Float64)


def _share(values: pl.Series, pattern: str) -> float:
    if values.dtype != pl.String or not len(values.drop_nulls()):
        return 0.0
    found = values.drop_nulls().head(1000).str.contains(pattern).mean()
    return found if isinstance(found, float) else 0.0


def _sql(column: str) -> str:
    """A column's name as SQL writes it."""
    return column if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column) else '"' + column.replace('"', '""') + '"'


def _places(name: str, table: Table, tables: int) -> Iterable[Guess]:
    more = table.query is not None and table.rows == ROWS
    rows = f"more than {ROWS - 1:,} rows" if more else f"{table.rows:,} rows"
    why = {
        "events": f"{rows} with times and customers",
        "items": f"{rows}, one for each item of the events",
        "users": f"{rows}, one for each customer of the events",
    }[name]
    if tables > 1:
        why += f"; chosen from {tables} tables"
    yield Guess(name, table.where, why)
    if table.query is not None:
        yield Guess(f"{name}_query", table.query, "the table in that database")
