/**
 * ClickBench's 43 queries (https://github.com/ClickHouse/ClickBench, duckdb-parquet/queries.sql), adapted: EventTime is
 * `timestamp`, columns have names of their own in the result, and what is cut by a LIMIT has a total order, so that
 * answers can be compared. Constants are of the generated rows, thresholds in proportion to their number.
 */
import { spread } from "../generate/spread.js";
import type { BenchQuery } from "./bench-query.js";

/** For the table `name` made by generate/hits.ts with so many rows. */
export function clickbenchQueries(name: string, rows: number): BenchQuery[] {
  return statements(name, Math.floor(rows / 1000)).map((sql, index) => ({
    name: `Q${index}`,
    sql,
    answer: sql.includes("LIMIT") && !sql.includes("ORDER BY") ? "count" : "exact",
  }));
}

const sums = Array.from({ length: 90 }, (_, index) => `SUM(ResolutionWidth + ${index}) AS s${index}`).join(", ");
const july = `CounterID = 62 AND EventDate >= '2013-07-01' AND EventDate <= '2013-07-31'`;
const host = String.raw`REGEXP_REPLACE(Referer, '^https?://(?:www\.)?([^/]+)/.*$', '\1')`;
const source = `CASE WHEN (SearchEngineID = 0 AND AdvEngineID = 0) THEN Referer ELSE '' END`;

function statements(hits: string, manyRows: number): string[] {
  return [
    `SELECT COUNT(*) AS c FROM ${hits}`,
    `SELECT COUNT(*) AS c FROM ${hits} WHERE AdvEngineID <> 0`,
    `SELECT SUM(AdvEngineID) AS s, COUNT(*) AS c, AVG(ResolutionWidth) AS a FROM ${hits}`,
    `SELECT AVG(UserID) AS a FROM ${hits}`,
    `SELECT COUNT(DISTINCT UserID) AS u FROM ${hits}`,
    `SELECT COUNT(DISTINCT SearchPhrase) AS u FROM ${hits}`,
    `SELECT MIN(EventDate) AS lowest, MAX(EventDate) AS highest FROM ${hits}`,
    `SELECT AdvEngineID, COUNT(*) AS c FROM ${hits} WHERE AdvEngineID <> 0 GROUP BY AdvEngineID ORDER BY c DESC, AdvEngineID`,
    `SELECT RegionID, COUNT(DISTINCT UserID) AS u FROM ${hits} GROUP BY RegionID ORDER BY u DESC, RegionID LIMIT 10`,
    `SELECT RegionID, SUM(AdvEngineID) AS s, COUNT(*) AS c, AVG(ResolutionWidth) AS a, COUNT(DISTINCT UserID) AS u FROM ${hits} GROUP BY RegionID ORDER BY c DESC, RegionID LIMIT 10`,
    `SELECT MobilePhoneModel, COUNT(DISTINCT UserID) AS u FROM ${hits} WHERE MobilePhoneModel <> '' GROUP BY MobilePhoneModel ORDER BY u DESC, MobilePhoneModel LIMIT 10`,
    `SELECT MobilePhone, MobilePhoneModel, COUNT(DISTINCT UserID) AS u FROM ${hits} WHERE MobilePhoneModel <> '' GROUP BY MobilePhone, MobilePhoneModel ORDER BY u DESC, MobilePhone, MobilePhoneModel LIMIT 10`,
    `SELECT SearchPhrase, COUNT(*) AS c FROM ${hits} WHERE SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10`,
    `SELECT SearchPhrase, COUNT(DISTINCT UserID) AS u FROM ${hits} WHERE SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY u DESC, SearchPhrase LIMIT 10`,
    `SELECT SearchEngineID, SearchPhrase, COUNT(*) AS c FROM ${hits} WHERE SearchPhrase <> '' GROUP BY SearchEngineID, SearchPhrase ORDER BY c DESC, SearchEngineID, SearchPhrase LIMIT 10`,
    `SELECT UserID, COUNT(*) AS c FROM ${hits} GROUP BY UserID ORDER BY c DESC, UserID LIMIT 10`,
    `SELECT UserID, SearchPhrase, COUNT(*) AS c FROM ${hits} GROUP BY UserID, SearchPhrase ORDER BY c DESC, UserID, SearchPhrase LIMIT 10`,
    `SELECT UserID, SearchPhrase, COUNT(*) AS c FROM ${hits} GROUP BY UserID, SearchPhrase LIMIT 10`,
    `SELECT UserID, extract(minute FROM "timestamp") AS m, SearchPhrase, COUNT(*) AS c FROM ${hits} GROUP BY UserID, m, SearchPhrase ORDER BY c DESC, UserID, m, SearchPhrase LIMIT 10`,
    `SELECT UserID FROM ${hits} WHERE UserID = ${spread(100)}`,
    `SELECT COUNT(*) AS c FROM ${hits} WHERE URL LIKE '%google%'`,
    `SELECT SearchPhrase, MIN(URL) AS url, COUNT(*) AS c FROM ${hits} WHERE URL LIKE '%google%' AND SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10`,
    `SELECT SearchPhrase, MIN(URL) AS url, MIN(Title) AS title, COUNT(*) AS c, COUNT(DISTINCT UserID) AS u FROM ${hits} WHERE Title LIKE '%Google%' AND URL NOT LIKE '%.google.%' AND SearchPhrase <> '' GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10`,
    `SELECT * FROM ${hits} WHERE URL LIKE '%google%' ORDER BY "timestamp", WatchID LIMIT 10`,
    `SELECT SearchPhrase FROM ${hits} WHERE SearchPhrase <> '' ORDER BY "timestamp", WatchID LIMIT 10`,
    `SELECT SearchPhrase FROM ${hits} WHERE SearchPhrase <> '' ORDER BY SearchPhrase LIMIT 10`,
    `SELECT SearchPhrase FROM ${hits} WHERE SearchPhrase <> '' ORDER BY "timestamp", SearchPhrase LIMIT 10`,
    `SELECT CounterID, AVG(STRLEN(URL)) AS l, COUNT(*) AS c FROM ${hits} WHERE URL <> '' GROUP BY CounterID HAVING COUNT(*) > ${manyRows} ORDER BY l DESC, CounterID LIMIT 25`,
    `SELECT ${host} AS k, AVG(STRLEN(Referer)) AS l, COUNT(*) AS c, MIN(Referer) AS lowest FROM ${hits} WHERE Referer <> '' GROUP BY k HAVING COUNT(*) > ${manyRows} ORDER BY l DESC, k LIMIT 25`,
    `SELECT ${sums} FROM ${hits}`,
    `SELECT SearchEngineID, ClientIP, COUNT(*) AS c, SUM(IsRefresh) AS s, AVG(ResolutionWidth) AS a FROM ${hits} WHERE SearchPhrase <> '' GROUP BY SearchEngineID, ClientIP ORDER BY c DESC, SearchEngineID, ClientIP LIMIT 10`,
    `SELECT WatchID, ClientIP, COUNT(*) AS c, SUM(IsRefresh) AS s, AVG(ResolutionWidth) AS a FROM ${hits} WHERE SearchPhrase <> '' GROUP BY WatchID, ClientIP ORDER BY c DESC, WatchID, ClientIP LIMIT 10`,
    `SELECT WatchID, ClientIP, COUNT(*) AS c, SUM(IsRefresh) AS s, AVG(ResolutionWidth) AS a FROM ${hits} GROUP BY WatchID, ClientIP ORDER BY c DESC, WatchID, ClientIP LIMIT 10`,
    `SELECT URL, COUNT(*) AS c FROM ${hits} GROUP BY URL ORDER BY c DESC, URL LIMIT 10`,
    `SELECT 1 AS one, URL, COUNT(*) AS c FROM ${hits} GROUP BY one, URL ORDER BY c DESC, URL LIMIT 10`,
    `SELECT ClientIP, ClientIP - 1 AS a, ClientIP - 2 AS b, ClientIP - 3 AS d, COUNT(*) AS c FROM ${hits} GROUP BY ClientIP, ClientIP - 1, ClientIP - 2, ClientIP - 3 ORDER BY c DESC, ClientIP LIMIT 10`,
    `SELECT URL, COUNT(*) AS v FROM ${hits} WHERE ${july} AND DontCountHits = 0 AND IsRefresh = 0 AND URL <> '' GROUP BY URL ORDER BY v DESC, URL LIMIT 10`,
    `SELECT Title, COUNT(*) AS v FROM ${hits} WHERE ${july} AND DontCountHits = 0 AND IsRefresh = 0 AND Title <> '' GROUP BY Title ORDER BY v DESC, Title LIMIT 10`,
    `SELECT URL, COUNT(*) AS v FROM ${hits} WHERE ${july} AND IsRefresh = 0 AND IsLink <> 0 AND IsDownload = 0 GROUP BY URL ORDER BY v DESC, URL LIMIT 10 OFFSET 1000`,
    `SELECT TraficSourceID, SearchEngineID, AdvEngineID, ${source} AS src, URL AS dst, COUNT(*) AS v FROM ${hits} WHERE ${july} AND IsRefresh = 0 GROUP BY TraficSourceID, SearchEngineID, AdvEngineID, src, dst ORDER BY v DESC, TraficSourceID, SearchEngineID, AdvEngineID, src, dst LIMIT 10 OFFSET 1000`,
    `SELECT URLHash, EventDate, COUNT(*) AS v FROM ${hits} WHERE ${july} AND IsRefresh = 0 AND TraficSourceID IN (-1, 6) AND RefererHash = ${spread(0)} GROUP BY URLHash, EventDate ORDER BY v DESC, URLHash, EventDate LIMIT 10 OFFSET 100`,
    `SELECT WindowClientWidth, WindowClientHeight, COUNT(*) AS v FROM ${hits} WHERE ${july} AND IsRefresh = 0 AND DontCountHits = 0 AND URLHash = ${spread(0)} GROUP BY WindowClientWidth, WindowClientHeight ORDER BY v DESC, WindowClientWidth, WindowClientHeight LIMIT 10 OFFSET 10000`,
    `SELECT DATE_TRUNC('minute', "timestamp") AS m, COUNT(*) AS v FROM ${hits} WHERE CounterID = 62 AND EventDate >= '2013-07-14' AND EventDate <= '2013-07-15' AND IsRefresh = 0 AND DontCountHits = 0 GROUP BY m ORDER BY m LIMIT 10 OFFSET 1000`,
  ];
}
