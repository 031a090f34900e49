"""Rows of models by plain SQL: for what is done so often that the ORM's building of statements would be felt.

It takes some ten times as long to build one as the database to run it. The columns' values are converted as the ORM
does it. No signals of models are sent, and a row's related objects aren't looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import AutoField, CharField, Field, ForeignKey, IntegerField, Model, TextField

Row = TypeVar("Row", bound=Model)

PARAMETERS = 8000  # in one statement: below the databases' limits
PLAIN = (CharField, ForeignKey, IntegerField, TextField)  # fields whose values need no conversion


def insert(rows: Sequence[Model]) -> None:
    """Insert rows of one model. They get their keys if the database makes them."""
    if not rows:
        return
    model = type(rows[0])
    fields = _inserted(model)
    at_once = PARAMETERS // len(fields)
    for first in range(0, len(rows), at_once):
        _insert(model, fields, rows[first : first + at_once])


def _insert(model: type[Model], fields: Sequence[Field[Any, Any]], rows: Sequence[Model]) -> None:
    connection = connections[DEFAULT_DB_ALIAS]  # not Django's proxy of it, which looks it up at each use
    values = [_converted(field, row, connection) for row in rows for field in fields]
    has_keys = len(fields) == len(model._meta.concrete_fields)
    with connection.cursor() as cursor:
        cursor.execute(_insertion(model, len(rows), returning=not has_keys), values)
        keys = [None] * len(rows) if has_keys else [key for (key,) in cursor.fetchall()]
    for row, key in zip(rows, keys, strict=True):
        if not has_keys:
            row.pk = key
        row._state.adding, row._state.db = False, connection.alias


def update(row: Model, names: Sequence[str]) -> None:
    """Write these fields of a row, given by their attributes: `run_id`, not `run`."""
    connection = connections[DEFAULT_DB_ALIAS]
    values = [_converted(_field(type(row), name), row, connection) for name in names]
    with connection.cursor() as cursor:
        cursor.execute(_update(type(row), tuple(names)), [*values, row.pk])


@lru_cache
def columns(model: type[Model], alias: str) -> str:
    """Return a model's columns as a list for SELECT, to be read by `read`."""
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


def read(model: type[Row], values: Sequence[Any]) -> Row:
    """Return the row that has these `columns`."""
    found = list(values)
    connection = connections[DEFAULT_DB_ALIAS]
    for place, expression in _dates(model):
        for convert in connection.ops.get_db_converters(expression):
            found[place] = convert(found[place], expression, connection)
    return model.from_db(connection.alias, _attributes(model), found)


def _converted(field: Field[Any, Any], row: Model, connection: BaseDatabaseWrapper) -> Any:
    value = getattr(row, field.attname)
    return value if isinstance(field, PLAIN) else field.get_db_prep_save(value, connection)


@lru_cache
def _attributes(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@lru_cache
def _dates(model: type[Model]) -> list[tuple[int, Any]]:
    """Return the columns that a database may have in a form of its own, each with its place."""
    connection = connections[DEFAULT_DB_ALIAS]
    found = [(place, field.get_col(model._meta.db_table)) for place, field in enumerate(model._meta.concrete_fields)]
    return [(place, column) for place, column in found if connection.ops.get_db_converters(column)]


@lru_cache
def _field(model: type[Model], attribute: str) -> Field[Any, Any]:
    return next(field for field in model._meta.concrete_fields if field.attname == attribute)


@lru_cache
def _inserted(model: type[Model]) -> list[Field[Any, Any]]:
    return [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]


@lru_cache(maxsize=256)
def _insertion(model: type[Model], rows: int, *, returning: bool) -> str:
    names = [field.column for field in _inserted(model)]
    row = f"({', '.join(['%s'] * len(names))})"
    into = ", ".join(f'"{name}"' for name in names)
    ending = f' RETURNING "{model._meta.pk.column}"' if returning else ""
    return f"INSERT INTO {model._meta.db_table} ({into}) VALUES {', '.join([row] * rows)}{ending}"


@lru_cache
def _update(model: type[Model], names: tuple[str, ...]) -> str:
    written = ", ".join(f'"{_field(model, name).column}" = %s' for name in names)
    return f'UPDATE {model._meta.db_table} SET {written} WHERE "{model._meta.pk.column}" = %s'
