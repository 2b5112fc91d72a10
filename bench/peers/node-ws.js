// Node with `ws`: a set of sockets for each room, no compression, which is its default.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = createServer();
const sockets = new WebSocketServer({ server });

sockets.on("connection", (socket, request) => {
  if (request.url.startsWith("/sub/")) {
    const name = request.url.slice(5);
    const room = rooms.get(name) ?? new Set();
    rooms.set(name, room.add(socket));
    socket.on("close", () => room.delete(socket));
    return;
  }
  socket.on("message", (data) => {
    const text = data.toString();
    const end = text.indexOf(" ");
    const payload = text.slice(end + 1);
    for (const each of rooms.get(text.slice(0, end)) ?? []) each.send(payload);
  });
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(`listening on 127.0.0.1:${server.address().port}`));
