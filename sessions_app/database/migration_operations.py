"""Migration operations for a site in use: none holds others up while it waits for readers or writers.

A migration that has one is `atomic = False`, and may be run again after it has failed half-way.
"""

from __future__ import annotations

import time

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

STEP = 200  # keys of one step: about 20 ms of SQLite's one write lock


class _Concurrently(Operation):
    """An operation that adds an index: on PostgreSQL concurrently."""

    atomic = False
    model_name: str

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        name, create = self._index(to_state.apps.get_model(app_label, self.model_name), schema_editor)
        # Half of one is there after an attempt that failed.
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}")
        schema_editor.execute(create, params=None)

    def _index(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> tuple[str, Statement | str]:
        """Return the index's name and the statement that creates it."""
        raise NotImplementedError


class AddIndexInUse(_Concurrently, migrations.AddIndex):
    """Add an index to a table that is written meanwhile."""

    def _index(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> tuple[str, Statement | str]:
        return self.index.name, self.index.create_sql(model, schema_editor, concurrently=True)


class AddUniqueInUse(_Concurrently, migrations.AddConstraint):
    """Add a unique constraint with a condition, which is an index."""

    def _index(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> tuple[str, Statement | str]:
        create = str(self.constraint.create_sql(model, schema_editor))
        return self.constraint.name, create.replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY", 1)


class UpdateFew(migrations.RunSQL):
    """Change few rows of a table in use: their writers wait until the migration commits, all others don't."""


class UpdateInSteps(Operation):
    """Change any number of rows of a table in use, in steps that are transactions of their own.

    `query` is an UPDATE for a range of keys, `id > %s AND id <= %s`. After a step it pauses for as long as that took,
    which leaves half of the time to other writers. Rows added meanwhile are left as they are.
    """

    atomic = False
    reduces_to_sql = False
    reversible = True

    def __init__(self, model_name: str, query: str) -> None:
        self.model_name = model_name
        self.query = query

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The models stay as they are."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        connection = schema_editor.connection
        rows = to_state.apps.get_model(app_label, self.model_name)._default_manager.using(connection.alias)
        last = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
        for start in range(0, last, STEP):
            began = time.monotonic()
            with connection.cursor() as cursor:
                cursor.execute(self.query, [start, min(start + STEP, last)])
                has_changed = cursor.rowcount > 0
            if has_changed:
                time.sleep(time.monotonic() - began)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """The columns that it has filled are removed."""

    def describe(self) -> str:
        return f"Update {self.model_name} in steps"


class SetStorage(Operation):
    """Set storage parameters of a table on PostgreSQL, which takes a lock that no reader or writer waits for."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, **parameters: int | float | bool) -> None:
        self.model_name = model_name
        self.parameters = parameters

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """It is no part of the model."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        values = ", ".join(f"{name} = {value}" for name, value in self.parameters.items())
        self._alter(f"SET ({values})", app_label, schema_editor, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._alter(f"RESET ({', '.join(self.parameters)})", app_label, schema_editor, to_state)

    def _alter(self, what: str, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> None:
        if schema_editor.connection.vendor == "postgresql":
            table: str = state.apps.get_model(app_label, self.model_name)._meta.db_table
            schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} {what}")

    def describe(self) -> str:
        return f"Set storage parameters of {self.model_name}"


class WidenToText(migrations.AlterField):
    """Make a CharField a TextField. PostgreSQL changes the catalogue alone, for a moment; SQLite has no lengths.

    Backwards, PostgreSQL writes the table again, and cuts what is longer than the old length.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._alter("TYPE text", app_label, schema_editor, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        length = to_state.apps.get_model(app_label, self.model_name)._meta.get_field(self.name).max_length
        cut = f"left({schema_editor.quote_name(self.name)}, {length})"
        self._alter(f"TYPE varchar({length}) USING {cut}", app_label, schema_editor, to_state)

    def _alter(self, how: str, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> None:
        if schema_editor.connection.vendor == "postgresql":
            model = state.apps.get_model(app_label, self.model_name)
            table, column = map(schema_editor.quote_name, (model._meta.db_table, self.name))
            schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} {how}")
