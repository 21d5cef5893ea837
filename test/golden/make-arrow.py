"""Writes the Arrow files of this folder with pyarrow (26.0.1): types and layouts that apache-arrow does not write.

Run by hand: python3 -m pip install pyarrow && python3 test/golden/make-arrow.py
"""

import datetime
import decimal
import pathlib

import pyarrow as pa

folder = pathlib.Path(__file__).parent
utc = datetime.timezone.utc
day = datetime.date(2026, 11, 22)
instant = datetime.datetime(2026, 11, 22, 19, 20, 21, 123456, tzinfo=utc)


def column(type_, values):
    """Rows of interest stand behind two others: pyarrow then writes slices."""
    padding = [None, None] if len(values) else []
    return pa.array(padding + list(values), type=type_).slice(len(padding))


columns = {
    "timestamp": column(pa.timestamp("us", "UTC"), [instant, None, instant]),
    "id": column(pa.string(), ["a", None, "c"]),
    "i8": column(pa.int8(), [-128, None, 127]),
    "i16": column(pa.int16(), [-32768, None, 32767]),
    "i32": column(pa.int32(), [-(2**31), None, 2**31 - 1]),
    "i64": column(pa.int64(), [-(2**63), None, 2**63 - 1]),
    "u8": column(pa.uint8(), [0, None, 255]),
    "u16": column(pa.uint16(), [0, None, 65535]),
    "u32": column(pa.uint32(), [0, None, 2**32 - 1]),
    "u64": column(pa.uint64(), [0, None, 2**63 - 1]),
    "f16": column(pa.float16(), [-1.5, None, 65504.0]),
    "f32": column(pa.float32(), [-1.5, None, 3.4028234663852886e38]),
    "f64": column(pa.float64(), [-1.5, None, 1e308]),
    "flag": column(pa.bool_(), [True, None, False]),
    "text": column(pa.string(), ["é", None, ""]),
    "large_text": column(pa.large_string(), ["€", None, "long " * 20]),
    "text_view": column(pa.string_view(), ["short", None, "longer than twelve bytes"]),
    "word": column(pa.dictionary(pa.int8(), pa.string()), ["x", None, "y"]),
    "number_word": column(pa.dictionary(pa.uint16(), pa.int64()), [7, None, -7]),
    "date32": column(pa.date32(), [day, None, datetime.date(1, 1, 1)]),
    "date64": column(pa.date64(), [day, None, datetime.date(9999, 12, 31)]),
    "ts_s": column(pa.timestamp("s"), [instant.replace(microsecond=0, tzinfo=None), None, datetime.datetime(1, 1, 1)]),
    "ts_ms": column(pa.timestamp("ms", "Europe/Paris"), [instant.replace(microsecond=123000), None, instant.replace(year=9999, microsecond=999000)]),
    "ts_us": column(pa.timestamp("us"), [instant.replace(tzinfo=None), None, datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)]),
    "ts_ns": column(pa.timestamp("ns", "UTC"), [1_700_000_000_123_456_789, None, -1]),
    "decimal": column(pa.decimal128(20, 3), [decimal.Decimal("-12345678901234.567"), None, decimal.Decimal("0.001")]),
    "decimal256": column(pa.decimal256(50, -2), [decimal.Decimal("-12300"), None, decimal.Decimal("1e40")]),
    "list": column(pa.list_(pa.int64()), [[1, None, 2**60], None, []]),
    "large_list": column(pa.large_list(pa.string()), [["a", "b"], None, [None]]),
    "pair": column(pa.list_(pa.float64(), 2), [[1.5, 2.0], None, [3.0, None]]),
    "struct": column(pa.struct([("a", pa.int32()), ("b c", pa.list_(pa.bool_()))]), [{"a": 1, "b c": [True, False]}, None, {"a": None, "b c": None}]),
    "map": column(pa.map_(pa.string(), pa.timestamp("us", "UTC")), [[("k", instant)], None, []]),
    "int_map": column(pa.map_(pa.int32(), pa.dictionary(pa.int8(), pa.string())), [[(1, "p"), (2, "q")], None, [(3, "p")]]),
    "nothing": column(pa.null(), [None, None, None]),
}
batch = pa.record_batch(columns)


def write(name, batches, new=pa.ipc.new_stream, **options):
    with new(str(folder / name), batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for each in batches:
            writer.write_batch(each)


write("arrow-types.arrows", [batch, batch])
write("arrow-types.arrow", [batch], new=pa.ipc.new_file)
small = pa.record_batch({"x": pa.array(list(range(100)), pa.int64())})
write("arrow-lz4.arrows", [small], compression="lz4")
write("arrow-zstd.arrows", [small], compression="zstd")

words = [pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(entries)) for indices, entries in [
    ([0, 1, None], ["a", "b"]),
    ([2, 0, 1], ["a", "b", "c"]),
]]
write("arrow-delta.arrows", [pa.record_batch({"word": array}) for array in words], emit_dictionary_deltas=True)
write("arrow-replaced.arrows", [
    pa.record_batch({"word": words[0]}),
    pa.record_batch({"word": pa.DictionaryArray.from_arrays(pa.array([1, 0, 0], pa.int32()), pa.array(["new", None]))}),
])
