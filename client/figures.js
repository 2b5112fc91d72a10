// @ts-check
/**
 * What is counted: bytes, frames, polls, the round trip. It changes with every frame, and is watched apart from the
 * connection's state, which changes rarely.
 */
import { Observable } from "./observable.js";

/** @typedef {import("./types.js").Stats} Stats */

/** @extends {Observable<Stats>} */
export class Figures extends Observable {
  /** Whoever counts does it here, and says `counted` then. @type {Stats} */
  stats = { roundTripMs: null, bytesIn: 0, bytesOut: 0, framesIn: 0, framesOut: 0, polls: 0, pollsMetaOnly: 0, drops: 0 };

  /** @protected @returns {Stats} */
  build() {
    return { ...this.stats };
  }

  counted() {
    this.changed();
  }
}
