/** A programmer's mistake: never caught on purpose, never sent to a client as anything but INTERNAL. */
class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** Holds for conditions that only wrong code can break; operating errors are MiniodbError instead. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable value ${String(value)}`);
}
