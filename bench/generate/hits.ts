/**
 * A table with the shape of ClickBench's `hits` (https://github.com/ClickHouse/ClickBench): the columns that its 43
 * queries read and some more, with values as skewed as its are: a few counters, users and pages have most of the rows,
 * most texts to search for are empty, one row in a hundred is from an advertisement.
 *
 * Adapted to the server's types: EventTime is `timestamp`, EventDate a timestamp at midnight, every integer a long.
 */
import { type GeneratedTable, pickSql } from "./generated-table.js";

/** 2013-07-01, the first day of ClickBench's data. */
const firstSecond = Date.UTC(2013, 6, 1) / 1000;
const daySeconds = 86_400;

const words = ["cars", "realty", "kredit", "forum", "video", "games", "music", "news", "travel", "recipes", "weather"];
const titleWords = ["купить", "продажа", "смотреть онлайн", "отзывы", "скачать", "Москва", "каталог", "недорого"];
const phoneModels = ["iPad", "iPhone", "HTC Desire", "Lumia 800", "Galaxy S", "N9", "A510"];
const widths = ["1638", "1368", "1996", "1917", "1087", "1750", "1594", "0"];

export interface HitsOptions {
  readonly name: string;
  readonly rows: number;
  /** The rows spread over so many days. */
  readonly days: number;
  /** WatchID as text in the column `id`: for rows that are written one by one. */
  readonly hasId?: boolean;
}

export function hitsTable({ name, rows, days, hasId = false }: HitsOptions): GeneratedTable {
  const pages = Math.ceil(rows / 5);
  const users = Math.ceil(rows / 6);
  const phrases = Math.ceil(rows / 16);
  // Numbers of pages, users, counters and phrases by how often they come; the columns follow from these.
  const ranks = `
    SELECT i,
      ${firstSecond} + (i * ${days * daySeconds}) // ${rows} AS second,
      skewed(i, 1, ${pages}, 3) AS page,
      skewed(i, 2, ${pages}, 3) AS referring,
      skewed(i, 3, ${users}, 2) AS visitor,
      skewed(i, 4, 6000, 4) AS counter,
      skewed(i, 5, ${phrases}, 2) AS phrase,
      chance(i, 6) < 0.13 AS searches,
      chance(i, 7) < 0.05 AS mobile`;
  return {
    name,
    rows,
    select: (from, to) => `
      SELECT ${hasId ? "spread(i)::VARCHAR AS id, " : ""}${columns}
      FROM (${ranks} FROM range(${from}, ${to}) AS numbers(i))`,
  };
}

function pageAddress(rank: string): string {
  const site = `CASE WHEN ${rank} % 4001 = 17 THEN 'www.google.com' ELSE concat('site', ${rank} % 997, '.ru') END`;
  return `concat('http://', ${site}, '/', ${pickSql(words, rank)}, '/', hex(hash(${rank})), '/?id=', ${rank})`;
}

const columns = `
  to_timestamp(second) AS "timestamp",
  to_timestamp(second // ${daySeconds} * ${daySeconds}) AS EventDate,
  spread(i) AS WatchID,
  evenly(i, 10, 20)::BIGINT // 19 AS JavaEnable,
  concat(CASE WHEN page % 3001 = 5 THEN 'Google ' ELSE '' END, ${pickSql(titleWords, "page")}, ' ',
    ${pickSql(words, "page // 8")}, ' ', ${pickSql(titleWords, "page // 64")}, ' - ', page % 997) AS Title,
  1::BIGINT AS GoodEvent,
  41 + 7 * counter AS CounterID,
  evenly(visitor * 4 + evenly(i, 11, 2), 12, 2147483648) AS ClientIP,
  skewed(visitor, 13, 5000, 4) AS RegionID,
  spread(visitor) AS UserID,
  skewed(visitor, 14, 90, 2) AS OS,
  skewed(visitor, 15, 80, 2) AS UserAgent,
  ${pageAddress("page")} AS URL,
  CASE WHEN chance(i, 16) < 0.2 THEN '' ELSE ${pageAddress("referring")} END AS Referer,
  (chance(i, 17) < 0.1)::BIGINT AS IsRefresh,
  (${pickSql(widths, "visitor")})::BIGINT AS ResolutionWidth,
  CASE WHEN mobile THEN 1 + evenly(visitor, 18, 80) ELSE 0 END AS MobilePhone,
  CASE WHEN mobile THEN ${pickSql(phoneModels, "evenly(visitor, 18, 80)")} ELSE '' END AS MobilePhoneModel,
  evenly(i, 19, 12) - 1 AS TraficSourceID,
  CASE WHEN searches THEN 1 + skewed(i, 20, 40, 3) ELSE 0 END AS SearchEngineID,
  CASE WHEN searches THEN concat(${pickSql(titleWords, "phrase")}, ' ', ${pickSql(words, "phrase // 8")}, ' ', phrase)
    ELSE '' END AS SearchPhrase,
  CASE WHEN chance(i, 21) < 0.006 THEN 1 + skewed(i, 22, 60, 2) ELSE 0 END AS AdvEngineID,
  100 + evenly(visitor, 23, 1900) AS WindowClientWidth,
  100 + evenly(visitor, 24, 1000) AS WindowClientHeight,
  (chance(i, 25) < 0.03)::BIGINT AS IsLink,
  (chance(i, 26) < 0.01)::BIGINT AS IsDownload,
  (chance(i, 27) < 0.03)::BIGINT AS DontCountHits,
  spread(referring) AS RefererHash,
  spread(page) AS URLHash`;
