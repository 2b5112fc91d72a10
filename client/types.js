// @ts-check
/**
 * The shapes that cross the wire and the shapes a caller sees, as JSDoc types.
 * It promises no behaviour: importing it runs nothing.
 */

/**
 * @typedef {{ emoji: string, count: number, userIds: string[] }} Reaction
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string} roomId
 * @property {number} seq          its place in the room, for good
 * @property {number} rev          the room's revision at its last change
 * @property {string|null} senderId
 * @property {string|null} senderName
 * @property {string|null} senderAvatarUrl
 * @property {string|null} content
 * @property {"TEXT"|"IMAGE"|"SYSTEM"} contentType
 * @property {any} metadata
 * @property {string|null} replyTo
 * @property {Reaction[]} reactions
 * @property {"FLAGGED"|null} moderation  flagged: shown, until somebody decides
 * @property {string} createdAt
 * @property {string|null} editedAt
 * @property {string|null} deletedAt
 *
 * @typedef {object} Member
 * @property {string} userId
 * @property {string|null} name
 * @property {string|null} avatarUrl
 * @property {MemberRole} role
 * @property {number} lastReadSeq
 *
 * @typedef {"MEMBER"|"MODERATOR"|"OWNER"} MemberRole
 *
 * @typedef {object} RoomInfo      a room as `GET /api/chat/rooms` tells it
 * @property {string} id
 * @property {"DIRECT"|"GROUP"|"PUBLIC"} type
 * @property {string|null} key     what the application ties it to
 * @property {string|null} title
 * @property {any} metadata
 * @property {"all"|"joined"} historyFor
 * @property {number} slowModeSeconds  0: none
 * @property {string|null} quota   the name of its daily quota
 * @property {string} createdAt
 * @property {string|null} lastMessageAt
 * @property {number} lastSeq
 * @property {number} rev
 * @property {number} [oldestSeq]  the first message that is kept; absent: 1
 * @property {Retention} [retention]  how much of its log is kept; absent: as the service's settings say
 * @property {Message|null} lastMessage
 * @property {number} memberCount
 * @property {Member[]} members    ten at most
 * @property {{ role: MemberRole, lastReadSeq: number }|null} me
 * @property {number} unreadCount
 *
 * @typedef {object} Meta
 * @property {string} roomId
 * @property {number} lastSeq
 * @property {number} rev
 * @property {string|null} lastMessageAt
 * @property {number} [lastReadSeq]
 * @property {number} [unreadCount]
 * @property {"DIRECT"|"GROUP"|"PUBLIC"} [type]
 * @property {number} [oldestSeq]  the first message that is kept; absent: 1
 * @property {QuotaUse} [quota]    in the meta of one room, if it has a quota
 * @property {string} [history]
 *
 * @typedef {{ used: number, limit: number, resetsAt: string }} QuotaUse
 * @typedef {{ days: number|null, messages: number|null }} Retention
 *
 * @typedef {{ id: string, name: string|null, avatarUrl: string|null }} User
 * @typedef {{ id: string, status: string|null }} Partner
 * @typedef {{ user: User, role: "CUSTOMER"|"PARTNER"|"ADMIN", partner: Partner|null, expiresAt: string }} Session
 *
 * @typedef {object} ErrorDetails  what some errors tell beside code and detail
 * @property {string} [reason]     `content_rejected`: why
 * @property {number} [used]       `quota_exceeded`
 * @property {number} [limit]      `quota_exceeded`
 * @property {string} [resetsAt]   `quota_exceeded`
 * @property {number} [oldestSeq]  `position_expired`: the first message that is kept
 * @property {string} [field]      `invalid`: which
 * @property {string} [requestId]  faults of the service: what its log calls the request
 *
 * @typedef {object} Page
 * @property {Message[]} messages
 * @property {number} rev
 * @property {string} [history]
 * @property {boolean} [hasMore]
 * @property {number} [oldestSeq]  the first message that is kept; absent: 1
 *
 * @typedef {object} Draft         what is given to `send`
 * @property {string} [id]         a UUID; absent: made
 * @property {string} content
 * @property {"TEXT"|"IMAGE"} [contentType]
 * @property {string} [replyTo]
 * @property {any} [metadata]
 *
 * @typedef {object} Pending       a message of one's own that the room does not hold yet
 * @property {string} id
 * @property {string} content
 * @property {"TEXT"|"IMAGE"} [contentType]
 * @property {string} [replyTo]
 * @property {any} [metadata]
 * @property {string} createdAt    this device's clock, until the service gives the true one
 * @property {"sending"|"sent"|"failed"} state  `failed`: refused for good, and sent again only when asked to
 * @property {number} attempts     how often it was tried in vain
 * @property {import("./error.js").ChatError|null} error  why it failed; while `sending`, why the last attempt did
 *
 * @typedef {object} KeptMessage   a message that waits to be sent, as it outlives the page
 * @property {string} id
 * @property {number} place        its place in the order of writing
 * @property {string} owner        the page it is to be sent by, as long as that is there
 * @property {Draft} draft
 * @property {string} createdAt
 * @property {{ code: string, detail: string, status: number, details: ErrorDetails }|null} error  the service's no
 *
 * @typedef {object} MessageStore  where they are kept; `scope` is server, user, room, or less of it to mean all below
 * @property {(scope: string[]) => Promise<KeptMessage[]>} load
 * @property {(scope: string[], message: KeptMessage) => Promise<void>} put
 * @property {(scope: string[], id: string) => Promise<void>} remove
 * @property {(scope: string[]) => Promise<void>} clear
 *
 * @typedef {object} Stats
 * @property {number|null} roundTripMs  of the last ping over the socket, or of the last meta poll
 * @property {number} bytesIn      payload bytes; headers are not visible to a page
 * @property {number} bytesOut
 * @property {number} framesIn
 * @property {number} framesOut
 * @property {number} polls        meta polls answered
 * @property {number} pollsMetaOnly  of these, those that needed no messages
 * @property {number} drops        live sockets lost
 *
 * @typedef {"connecting"|"live"|"polling"|"offline"|"closed"} Status
 * @typedef {{ status: Status, reason: string|null }} ConnectionSnapshot
 *
 * @typedef {object} RoomSnapshot
 * @property {Message[]} messages  by seq, without a hole once `complete`
 * @property {Pending[]} pending
 * @property {number|null} rev     the cursor: everything up to it is in `messages`
 * @property {number|null} revSince  since when, in milliseconds since 1970
 * @property {number} lastSeq
 * @property {number|null} lastReadSeq
 * @property {number} unreadCount
 * @property {boolean} complete    nothing is known to be missing
 * @property {boolean} hasMore     there may be earlier messages
 * @property {string[]} typing
 * @property {string[]} online     empty in rooms of more than 200 members
 * @property {number} onlineCount
 * @property {boolean} gone        the room is not, or no longer, open to this user
 *
 * @typedef {{ rooms: RoomInfo[], loaded: boolean, unreadCount: number }} RoomListSnapshot
 *
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 *
 * @typedef {object} Visibility
 * @property {() => boolean} hidden
 * @property {(listener: () => void) => () => void} subscribe  called when the page is visible, online or thawed again
 *
 * @typedef {object} Environment   what the client takes from its surroundings
 * @property {typeof WebSocket|undefined} WebSocket
 * @property {typeof fetch} fetch
 * @property {Clock} clock
 * @property {Visibility} visibility
 * @property {() => number} random
 * @property {() => string} uuid
 * @property {TabLocks|undefined} locks  Web Locks; absent, as the next: each tab has a socket of its own
 * @property {((name: string) => TabChannel)|undefined} openChannel  a BroadcastChannel
 * @property {MessageStore|null} store  null: what is not sent when the page goes is lost
 *
 * @typedef {object} TabLocks      as much of `navigator.locks` as is used
 * @property {(name: string, options: any, held: (lock: any) => any) => Promise<any>} request
 *
 * @typedef {object} TabChannel    as much of a BroadcastChannel as is used
 * @property {(message: any) => void} postMessage
 * @property {((event: any) => void)|null} onmessage
 * @property {() => void} close
 *
 * @typedef {(ask: { renew: boolean }) => string|null|Promise<string|null>} GetToken
 *   `renew` is true when the last token was refused or runs out soon. Null ends the connection; a throw is tried again.
 *
 * @typedef {object} Link          what a room may do to the service, whatever the transport
 * @property {Environment} env
 * @property {import("./http.js").Http} http
 * @property {() => boolean} isLive
 * @property {() => object|null} way  the live socket, by which one may tell it from the next
 * @property {(frame: object, onReply?: (reply: any) => void) => Promise<any>} request  over the socket only
 * @property {(frame: object) => void} send             over the socket only; nothing when there is none
 * @property {(frame: object, method: string, path: string, body?: object) => Promise<any>} perform
 *   over the socket, else (or when its outcome is unknown) over HTTP: for what may be done twice
 * @property {() => string|null} myId
 * @property {import("./outbox-store.js").Kept|null} kept
 */

export {};
