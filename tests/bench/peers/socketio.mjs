// Socket.IO as its documentation sets it up, with connection state recovery: `node socketio.mjs PORT`.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false, connectionStateRecovery: {} });

io.on("connection", (socket) => {
  const { session } = socket.handshake.query;
  if (session === undefined) socket.on("publish", (to, token) => io.to(to).emit("token", token));
  else if (!socket.recovered) socket.join(session);
});

http.listen(Number(process.argv[2]), "127.0.0.1", 1024);
