"""SQL databases: PostgreSQL, MySQL and MariaDB, SQLite, by SQLAlchemy Core.

Each table is known by a column with an identity of the person, or by belonging to a row of another table. Rows are gone
through by their primary key; what hangs on a row goes before it. A row counts as there whatever a column says about it:
"deleted_at" erases nothing. Tried against PostgreSQL 15, MariaDB 10.11 and SQLite 3.40.
"""
