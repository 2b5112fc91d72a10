// Bun's own publish: a topic for each room, no compression.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    const room = pathname.startsWith("/sub/") ? pathname.slice(5) : null;
    return server.upgrade(request, { data: { room } }) ? undefined : new Response("a WebSocket is needed", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    open(socket) {
      if (socket.data.room) socket.subscribe(socket.data.room);
    },
    message(socket, text) {
      const end = text.indexOf(" ");
      server.publish(text.slice(0, end), text.slice(end + 1));
    },
  },
});
console.log(`listening on 127.0.0.1:${server.port}`);
