"""Compatibility: which code can work on these tables, for upgrades of a fleet at work."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
works_with = "0008"


def upgrade() -> None:
    """Apply."""
    op.create_table("compatibility", sa.Column("oldest_code", sa.Text, primary_key=True))


def downgrade() -> None:
    """Undo."""
    op.drop_table("compatibility")
