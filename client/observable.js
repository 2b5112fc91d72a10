// @ts-check
/**
 * A value that can be watched: `subscribe(listener)` and `getSnapshot()`.
 * A snapshot is the same object until something changed, as React's
 * `useSyncExternalStore` wants it. A listener that throws harms no one else.
 */

/** @template T */
export class Observable {
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {T|undefined} */
  #snapshot;

  constructor() {
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  /** @param {() => void} listener @returns {() => void} stops listening */
  subscribe(listener) {
    // Wrapped, so that the same function given twice is two subscriptions.
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** @returns {T} */
  getSnapshot() {
    return (this.#snapshot ??= this.build());
  }

  /** @protected @returns {T} */
  build() {
    throw new Error("build() is the heir's");
  }

  /** @protected */
  changed() {
    this.#snapshot = undefined;
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
