const dayMs = 86_400_000;
const dayPattern = /^\d{4}-\d{2}-\d{2}$/;

/** `2026-11-22`, of days since 1970-01-01. */
export function dayText(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, -"T00:00:00.000Z".length);
}

/** Days since 1970-01-01 of such a text; null where it is none, or no day of the calendar. */
export function dayOfText(text: string): number | null {
  if (!dayPattern.test(text)) return null;
  const day = Date.parse(`${text}T00:00:00Z`) / dayMs;
  return Number.isNaN(day) || dayText(day) !== text ? null : day;
}
