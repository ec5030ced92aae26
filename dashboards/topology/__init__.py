"""The network map: `maps` loads and keeps the maps of sites, `layout` places them, `marks` says how they are."""
