// Follows an event stream as a browser does, and prints what happens to it, one JSON value a line: "open", "error" and
// "closed" for itself, and the data of each event. Its argument is the stream's URL.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const say = (what) => console.log(JSON.stringify(what));
source.onopen = () => say("open");
source.onmessage = (event) => say(JSON.parse(event.data));
source.onerror = () => say(source.readyState === EventSource.CLOSED ? "closed" : "error");
