"""Device profiles as data: which OIDs a model answers and what they mean.

profile.py holds the shapes, loader.py reads the YAML strictly, match.py picks one, read.py turns varbinds into
readings and detail (pure). To add a model: one `NAME.yml` here (see generic-if.yml for the keys), a small walk
`tests/collectors/profiles/walks/NAME.snmprec` of invented values and `NAME.json` with what must come out;
tests/collectors/profiles fails when one is missing.
"""
