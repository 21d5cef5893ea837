/** The id that the generator gives to a rank (macro `spread`), for constants of queries. */
export function spread(rank: number): bigint {
  return (BigInt(rank) * 2_862_933_555_777n + 3_037_000_493n) % 4_503_599_627_370_496n;
}
