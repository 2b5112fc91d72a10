// @ts-check
/**
 * One error class. `code` is the service's own code, or one of the client's:
 * `network` (no answer), `disconnected` (the socket ended before the reply), `closed`, `discarded`.
 */

const CALLER_REFUSED = ["unauthenticated", "token_revoked", "suspended"];

export class ChatError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {{ status?: number, retryAfterMs?: number|null, details?: import("./types.js").ErrorDetails, cause?: unknown }} [more]
   */
  constructor(code, detail, { status = 0, retryAfterMs = null, details = {}, cause } = {}) {
    super(detail, { cause });
    this.name = "ChatError";
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }

  /** Worth the same request again: the service did not judge it. */
  get transient() {
    return (
      this.code === "network" ||
      this.code === "disconnected" ||
      this.code === "rate_limited" ||
      this.code === "slow_mode" ||
      [408, 425, 429].includes(this.status) ||
      this.status >= 500 ||
      this.code === "unavailable" ||
      this.code === "internal"
    );
  }

  /** The caller as such is refused, whatever is asked for: with this token, or at all. */
  get refusesCaller() {
    return this.status === 401 || CALLER_REFUSED.includes(this.code);
  }

  /** The room is not, or no longer, open to the caller. */
  get gone() {
    return this.code === "room_not_found" || this.code === "not_a_member";
  }

  /** What is held of the room can not be continued from. */
  get reset() {
    return this.code === "history_changed" || this.code === "position_expired";
  }
}

/**
 * What an error tells beside its code and detail, by HTTP and by frame alike.
 * @param {any} told @returns {import("./types.js").ErrorDetails}
 */
export function errorDetails(told) {
  /** @type {Record<string, unknown>} */
  const details = {};
  for (const name of ["reason", "used", "limit", "resetsAt", "oldestSeq", "field", "requestId"]) {
    if (told?.[name] !== undefined) details[name] = told[name];
  }
  return details;
}

/** @param {unknown} error @returns {ChatError} */
export function asChatError(error) {
  if (error instanceof ChatError) return error;
  return new ChatError("network", error instanceof Error ? error.message : String(error));
}
