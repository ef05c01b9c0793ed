"""How a catalogue is ranked for customers: exactly, by an index, and by a shop's own rules. No torch here."""

from intently.ranking.rules import Boost as Boost
from intently.ranking.rules import Facts as Facts
from intently.ranking.rules import Rules as Rules
from intently.ranking.rules import ruled as ruled
from intently.ranking.top import Catalogue as Catalogue
