/** One that was let in; `leave` gives its place to the next one, once. */
export interface YoungQuery {
  leave(): void;
}

export interface YoungQueriesOptions {
  /** Places. */
  readonly count: number;
  /** A query that is older has no place any more, though it goes on. */
  readonly ageMsMax: number;
}

/** How often those are looked for who are too old, while others wait. */
const lookMs = 20;

/**
 * Lets so many queries in at once, first come first served. Queries that each run on one thread get no sooner done by being
 * many: processors change between them, and the threads that answer clients wait behind all of them. One that runs for long
 * is no reason for the others to wait, so that places are for the young.
 */
export class YoungQueries {
  readonly #options: YoungQueriesOptions;
  /** The oldest first. */
  readonly #inside = new Set<Place>();
  readonly #waiting: ((place: Place) => void)[] = [];
  #look: NodeJS.Timeout | undefined;

  constructor(options: YoungQueriesOptions) {
    this.#options = options;
  }

  /** Resolves when there is a place. The caller owes a `leave`. */
  enter(): YoungQuery | Promise<YoungQuery> {
    if (this.#inside.size < this.#options.count) return this.#take();
    this.#look ??= setInterval(() => this.#dismissOld(), lookMs).unref();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  #take(): Place {
    const place = new Place((left) => this.#left(left));
    this.#inside.add(place);
    return place;
  }

  #left(place: Place): void {
    if (!this.#inside.delete(place)) return;
    this.#waiting.shift()?.(this.#take());
    if (this.#waiting.length > 0) return;
    clearInterval(this.#look);
    this.#look = undefined;
  }

  #dismissOld(): void {
    const oldestMs = performance.now() - this.#options.ageMsMax;
    // Those who come in meanwhile are young.
    for (const place of this.#inside) if (place.startMs < oldestMs) place.leave();
  }
}

class Place implements YoungQuery {
  readonly startMs = performance.now();
  readonly #onLeave: (place: Place) => void;

  constructor(onLeave: (place: Place) => void) {
    this.#onLeave = onLeave;
  }

  leave(): void {
    this.#onLeave(this);
  }
}
