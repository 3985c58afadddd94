"""The worked example: one's own asset on top of a gated table, gated itself.

It reads `flights/validated`, which has passed its gates, gives a row a carrier and day, and what it returns has to keep
the columns declared here before anybody can read it. It follows the flights by itself: when days were published, one
run makes all of theirs.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of an asset as they stand.

import warnings

import dagster as dg
import duckdb
import pyarrow as pa

from contracts.table_contract import TableContract
from platform_assets.ingest.partition_calendars import partitions_of

FLIGHTS = "flights"

COLUMNS = dg.TableSchema(
    [
        dg.TableColumn("day", "DATE", "Day of the scheduled departure.", dg.TableColumnConstraints(nullable=False)),
        dg.TableColumn(
            "carrier", "VARCHAR", "Two-character code.", dg.TableColumnConstraints(nullable=False, unique=False)
        ),
        dg.TableColumn("flights", "BIGINT", "Scheduled flights.", dg.TableColumnConstraints(nullable=False)),
        dg.TableColumn(
            "cancelled", "BIGINT", "Of these, without a departure.", dg.TableColumnConstraints(nullable=False)
        ),
        dg.TableColumn("mean_arrival_delay", "DOUBLE", "Minutes, of the flights that arrived; NULL when none did."),
        dg.TableColumn("late", "BIGINT", "Flights that arrived 15 minutes late or more."),
    ]
)

FOLLOWS_PUBLISHED_DAYS = (
    (
        (dg.AutomationCondition.initial_evaluation() & dg.AutomationCondition.missing())
        | (dg.AutomationCondition.newly_missing() | dg.AutomationCondition.any_deps_updated()).since_last_handled()
    )
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)
"""When a day was published and all its gates have passed, also before this asset was there.

`eager()` would ask for held days, too.
"""


def carrier_delays(flights: TableContract) -> dg.AssetsDefinition:
    """The asset, over the calendar of the flights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill policies are one
        return _asset(flights)


def _asset(flights: TableContract) -> dg.AssetsDefinition:
    @dg.asset(
        name="carrier_delays",
        ins={"validated": dg.AssetIn(["flights", "validated"])},
        partitions_def=partitions_of(flights.partitioning),
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=FOLLOWS_PUBLISHED_DAYS,
        io_manager_key="gated",
        code_version="1",
        group_name=flights.domain or flights.table,
        owners=list(flights.owners),
        kinds={"duckdb", "parquet"},
        metadata={"dagster/column_schema": COLUMNS},
    )
    def delays(context: dg.AssetExecutionContext, validated: duckdb.DuckDBPyRelation) -> dict[str, pa.Table]:
        """Delays by carrier and day: an example of an asset of one's own over gated rows."""
        table = validated.aggregate(
            "make_date(year, month, day) AS day, carrier, count(*) AS flights, "
            "count(*) FILTER (dep_time IS NULL) AS cancelled, avg(arr_delay) AS mean_arrival_delay, "
            "count(*) FILTER (arr_delay >= 15) AS late",
            "year, month, day, carrier",
        ).order("day, carrier")
        return {key: table.filter(f"day = DATE '{key}'").to_arrow_table() for key in context.partition_keys}

    return delays
