"""A shop's own questions: read from a table of its config, and tried on its log."""

from intently.own.table import read as read
from intently.own.table import task as task
from intently.own.trial import check as check
from intently.own.trial import newest_examples as newest_examples
