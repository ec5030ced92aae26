"""Device profiles as data: which OIDs a model answers and what they mean.

profile.py holds the shapes, loader.py reads the YAML strictly, match.py picks one, identify.py reads who a device
is, read.py turns varbinds into readings and detail (all pure). Keys of a profile:
  extends   profiles whose modules and identity it inherits; a module of the same name replaces theirs
  match     alternatives of sys_object_id (prefix), sys_descr (regex), exists (scalar); the longest prefix wins
  identity  vendor, os, hardware, version, serial: a text, {oid, regex, value} or {column, where_column, equals},
            and `values` to translate; the first source that yields something is taken, inherited ones last; an
            empty text at the end keeps those out
  modules   name -> scalars, columns (alias: OID), lookups (a cell of another table, `by` an alias or a template
            such as "{slot}.{port}"), maps (a value translated), extracts (a part of a text or of the index:
            from, regex, as text|hex|octets|characters), absent (values that mean "not there"),
            emit (from the scalars), rows (from every table row)
An emit has a kind (interface, processor, memory, storage, sensor, component, metrics), name templates with
{alias} holes, formulas (expression.py: `used * units`), states (value to ok, warning, critical, unknown or absent;
"*" is any other), and conditions where, like (regex), when (formula), when_missing.
To add a model: one `NAME.yml` here, a small walk `tests/collectors/profiles/walks/NAME.snmprec` of invented
values and `NAME.json` with what must come out; tests/collectors/profiles fails when one is missing.
"""
