"""Reads a table with PyIceberg. Request on stdin, answer on stdout, both JSON; see pyiceberg.test.ts."""

import json
import sys
from datetime import datetime

from pyiceberg.table import StaticTable


def plain(value):
    """Timestamps as microseconds since 1970, in text, exact."""
    if isinstance(value, datetime):
        delta = value - datetime.fromtimestamp(0, value.tzinfo)
        return str((delta.days * 86400 + delta.seconds) * 1000000 + delta.microseconds)
    return value


def answer(table, scan):
    options = {}
    if scan.get("filter"):
        options["row_filter"] = scan["filter"]
    if scan.get("fields"):
        options["selected_fields"] = tuple(scan["fields"])
    if scan.get("snapshot"):
        options["snapshot_id"] = int(scan["snapshot"])
    query = table.scan(**options)
    rows = query.to_arrow().to_pylist()
    return {
        "rows": [{name: plain(value) for name, value in row.items()} for row in rows],
        "files": [task.file.file_path for task in query.plan_files()],
    }


request = json.load(sys.stdin)
table = StaticTable.from_metadata(request["metadata"], request.get("properties", {}))
metadata = table.metadata
json.dump(
    {
        "uuid": str(metadata.table_uuid),
        "columns": [[field.field_id, field.name, str(field.field_type), field.required] for field in table.schema().fields],
        "docs": [field.doc for field in table.schema().fields],
        "refs": {
            name: [str(reference.snapshot_id), reference.snapshot_ref_type.value]
            for name, reference in metadata.refs.items()
        },
        "spec": str(table.spec()),
        "properties": dict(metadata.properties),
        "snapshots": [[str(snapshot.snapshot_id), snapshot.summary.operation.value] for snapshot in metadata.snapshots],
        "nameMapping": [[field.field_id, field.names] for field in table.name_mapping().root],
        "sortFields": [[field.source_id, field.direction.value] for field in table.sort_order().fields],
        "scans": [answer(table, scan) for scan in request["scans"]],
    },
    sys.stdout,
)
