"""The project of a window: followed, saved and opened again."""
