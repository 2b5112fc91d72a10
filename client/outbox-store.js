// @ts-check
/**
 * Where messages wait that are not sent yet, so that a reload does not lose them: IndexedDB, kept apart by server
 * and user. It promises never to stand in the way: what can not be kept is not, and nobody is told.
 */
import { Claim } from "./claim.js";

const NAME = "tidings-outbox";
const STORE = "messages";

/** @typedef {import("./types.js").KeptMessage} KeptMessage */
/** @typedef {import("./types.js").MessageStore} MessageStore */

/** What one user has not sent yet to one server. Calls wait until it is known who that is. */
export class Kept {
  /** @type {(user: string) => void} */
  identify = () => {};
  /** @type {Promise<string>} */
  user = new Promise((identify) => (this.identify = identify));
  /** @type {string|null} */
  #known = null;
  /** The rooms that are open here. @type {Map<string, Claim>} */
  #claims = new Map();
  /** Where pages tell each other that they have written. @type {import("./types.js").TabChannel|null} */
  #line = null;
  #closed = false;
  /** @type {Promise<void>|undefined} once the user's messages have been forgotten: until then nobody may take them over */
  cleared;

  /** @param {{ store: MessageStore, server: string, env: import("./types.js").Environment }} options */
  constructor({ store, server, env }) {
    this.store = store;
    this.server = server;
    this.env = env;
    void this.user.then((user) => this.#begin(user));
  }

  /** @param {string} roomId @param {(left: KeptMessage[]) => void} take */
  open(roomId, take) {
    const claim = new Claim({ kept: this, roomId, take });
    this.#claims.set(roomId, claim);
    return claim;
  }

  /** @param {Claim} claim */
  shut(claim) {
    if (this.#claims.get(claim.roomId) === claim) this.#claims.delete(claim.roomId);
  }

  /** @param {string} roomId @returns {Promise<KeptMessage[]>} */
  async load(roomId) {
    return this.store.load([this.server, await this.user, roomId]);
  }

  /** @param {string} roomId @param {KeptMessage} message */
  async put(roomId, message) {
    await this.store.put([this.server, await this.user, roomId], message);
  }

  /** @param {string} roomId @param {string} id */
  async remove(roomId, id) {
    await this.store.remove([this.server, await this.user, roomId], id);
  }

  /** To the user's other pages: this one has written in the room. @param {string} roomId @param {string} owner */
  tell(roomId, owner) {
    this.#line?.postMessage({ roomId, owner });
  }

  /** All of this user's; of this server's, should nobody have said who it is. */
  clear() {
    const scope = this.#known === null ? [this.server] : [this.server, this.#known];
    this.cleared = this.store.clear(scope).catch(() => {});
    return this.cleared;
  }

  close() {
    this.#closed = true;
    this.#line?.close();
    this.#line = null;
  }

  /** @param {string} user */
  #begin(user) {
    this.#known = user;
    const { locks, openChannel } = this.env;
    if (this.#closed || !locks || !openChannel) return;
    this.#line = openChannel(`tidings outbox ${this.server} ${user}`);
    this.#line.onmessage = ({ data }) => this.#claims.get(data.roomId)?.meet(data.owner);
  }
}

/** @param {IDBFactory|undefined} factory @returns {MessageStore|null} */
export function indexedDbStore(factory) {
  if (factory === undefined) return null;
  /** @type {Promise<IDBDatabase>|null} */
  let opening = null;
  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} ask @returns {Promise<any>} */
  const run = async (mode, ask) => {
    const database = await (opening ??= open(factory).catch((error) => {
      opening = null;
      throw error;
    }));
    // Another version of the page may want the database for itself.
    database.onversionchange = database.onclose = () => {
      database.close();
      opening = null;
    };
    const transaction = database.transaction(STORE, mode);
    return answer(ask(transaction.objectStore(STORE)));
  };
  return {
    load: async (scope) => (await run("readonly", (store) => store.getAll(within(scope)))).map((/** @type {any} */ row) => row.message),
    put: (scope, message) => run("readwrite", (store) => store.put({ key: [...scope, message.id], message })),
    remove: (scope, id) => run("readwrite", (store) => store.delete([...scope, id])),
    clear: (scope) => run("readwrite", (store) => store.delete(within(scope))),
  };
}

/** @param {IDBFactory} factory @returns {Promise<IDBDatabase>} */
function open(factory) {
  const request = factory.open(NAME, 1);
  request.onupgradeneeded = () => void request.result.createObjectStore(STORE, { keyPath: "key" });
  return answer(request);
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Every key that begins so: an array comes after all texts. @param {string[]} scope */
const within = (scope) => IDBKeyRange.bound(scope, [...scope, []]);
