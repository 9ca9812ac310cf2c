"""What the user sees: docks, jobs and the bridge to napari's layers."""
