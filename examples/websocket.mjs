// Three generations over one socket, one of them cancelled on the way.
// Start a server (npm start), then: node examples/websocket.mjs [ws://127.0.0.1:8000/v1/ws]
import { WebSocket } from "ws";

const url = process.argv[2] ?? "ws://127.0.0.1:8000/v1/ws";
const key = process.env.OPENAI_API_KEY;
const socket = new WebSocket(url, key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } });

const questions = {
  sea: "Name three seas.",
  sky: "Why is the sky blue?",
  long: "Write a very long story about a lighthouse.",
};
const texts = {};
const decoder = new TextDecoder();
const running = new Set(Object.keys(questions));

function send(frame) {
  socket.send(JSON.stringify(frame));
}

function finish(id, outcome) {
  running.delete(id);
  process.stdout.write(`\n[${id}] ${outcome}\n${texts[id] ?? ""}\n`);
  if (running.size === 0) socket.close();
}

socket.on("open", () => {
  for (const [id, content] of Object.entries(questions)) {
    const body = { messages: [{ role: "user", content }], max_tokens: 80 };
    send({ type: "start", id, endpoint: "chat.completions", body });
  }
});

socket.on("message", (data) => {
  const frame = JSON.parse(decoder.decode(data));
  switch (frame.type) {
    case "chunk": {
      texts[frame.id] = (texts[frame.id] ?? "") + (frame.chunk.choices[0]?.delta.content ?? "");
      if (frame.id === "long" && texts.long.length > 60) send({ type: "cancel", id: "long" });
      break;
    }
    case "usage":
      process.stdout.write(`\n[${frame.id}] ${frame.usage.completion_tokens} tokens`);
      break;
    case "done":
    case "cancelled":
      finish(frame.id, frame.type);
      break;
    case "error":
      // The cancel of a story that ended by itself meanwhile is answered without an id.
      if (frame.id !== null) finish(frame.id, frame.error.message);
      break;
  }
});

socket.on("error", (error) => {
  process.stderr.write(`${error.message || error.code}\n`);
  process.exitCode = 1;
});
