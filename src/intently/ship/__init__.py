"""A trained model as a folder that is served."""
