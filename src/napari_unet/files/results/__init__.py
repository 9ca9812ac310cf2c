"""Images are segmented to disk, here or on a cluster, and compared with the truth."""
