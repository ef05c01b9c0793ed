"""Intently: fine-tune a pre-trained language model on a shop's event log."""
