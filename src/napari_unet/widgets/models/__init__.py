"""The list of models, and their import and export."""
