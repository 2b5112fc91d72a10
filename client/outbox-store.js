// @ts-check
/**
 * Where messages wait that are not sent yet, so that a reload does not lose them: IndexedDB, kept apart by server
 * and user. It promises never to stand in the way: what can not be kept is not, and nobody is told.
 */

const NAME = "tidings-outbox";
const STORE = "messages";
/** Sends wait for what an earlier page left behind, to go after it; but not for a database that does not answer. */
const LOAD_MS = 2000;

/** @typedef {import("./types.js").KeptMessage} KeptMessage */
/** @typedef {import("./types.js").MessageStore} MessageStore */

/** What one user has not sent yet to one server. Calls wait until it is known who that is. */
export class Kept {
  /** @type {(user: string) => void} */
  identify = () => {};
  /** @type {Promise<string>} */
  #user = new Promise((identify) => (this.identify = identify));
  /** @type {string|null} */
  #known = null;

  /** @param {{ store: MessageStore, server: string, clock: import("./types.js").Clock }} options */
  constructor({ store, server, clock }) {
    this.store = store;
    this.server = server;
    this.clock = clock;
    void this.#user.then((user) => (this.#known = user));
  }

  /** @param {string} roomId @returns {Promise<KeptMessage[]>} in the order they were written; never rejects */
  async load(roomId) {
    const user = await this.#user;
    /** @type {any} */
    let timer;
    const late = new Promise((/** @type {(none: KeptMessage[]) => void} */ done) => {
      timer = this.clock.setTimeout(() => done([]), LOAD_MS);
    });
    const found = this.store.load([this.server, user, roomId]).catch(() => []);
    const kept = await Promise.race([found, late]);
    this.clock.clearTimeout(timer);
    return kept.sort((a, b) => a.place - b.place);
  }

  /** @param {string} roomId @param {KeptMessage} message */
  put(roomId, message) {
    void this.#user.then((user) => this.store.put([this.server, user, roomId], message)).catch(() => {});
  }

  /** @param {string} roomId @param {string} id */
  remove(roomId, id) {
    void this.#user.then((user) => this.store.remove([this.server, user, roomId], id)).catch(() => {});
  }

  /** All of this user's; of this server's, should nobody have said who it is. */
  async clear() {
    const scope = this.#known === null ? [this.server] : [this.server, this.#known];
    await this.store.clear(scope).catch(() => {});
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
