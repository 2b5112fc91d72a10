// Node with Socket.IO: its rooms, WebSockets only, no compression, which is its default.
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done();
  });
  socket.on("publish", (room, payload) => io.to(room).emit("message", payload));
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(`listening on 127.0.0.1:${server.address().port}`));
