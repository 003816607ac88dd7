"""Storage: where the files of exports are kept."""
