"""Tags, held manifests, facts and the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The first shape."""
    op.create_table(
        "tags",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("descriptor", sa.LargeBinary, nullable=False),  # as it stands in a manifest
        sa.Column("immutable", sa.Integer, nullable=False),  # 0 or 1
        sa.Column("set_at", sa.Text, nullable=False),  # RFC 3339
        sqlite_strict=True,
    )
    op.create_table(
        "manifests",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("descriptor", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),  # a digest, or empty
        sqlite_strict=True,
    )
    op.create_index("manifests_by_subject", "manifests", ["repository", "subject"])
    op.create_index("manifests_by_digest", "manifests", ["digest"])
    op.create_table(
        "facts",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "events",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),  # canonical JSON, strings only
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    # The chain alone cannot tell that its last lines are gone; this row can.
    op.create_table(
        "journal_head",
        sa.Column("only", sa.Integer, sa.CheckConstraint("only = 1"), primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    # Against our own mistakes; against an attacker there is the chain.
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_refuse_{verb.lower()} BEFORE {verb} ON events "
            "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
        )
