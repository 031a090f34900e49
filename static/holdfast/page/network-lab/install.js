// Installation of the lab's network between the page and its server, before the page connects.
import { network } from "../network.js";
import { labFetch } from "./lab-fetch.js";
import { LabNetwork } from "./lab-network.js";
import { labWebSocket } from "./lab-socket.js";

export const lab = new LabNetwork();

network.WebSocket = labWebSocket(lab, network.WebSocket);
network.fetch = labFetch(lab, network.fetch);
