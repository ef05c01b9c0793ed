"""Words: a catalogue and a past as text, and text as vectors."""
