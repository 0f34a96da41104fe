/**
 * Clients of a closed loop in a process of their own (crowd.ts). Its argument is a ClientTask as JSON. It sends `ready` when every
 * client has had an answer, waits to be told to stop, and sends all answers.
 */
import { startClients } from '../closed-loop.js';
import { readPhotos } from '../photos.js';
import { trafficOf } from '../traffic.js';
import type { ClientMessage, ClientTask } from './crowd.js';

const { url, model, photos, clients, first } = JSON.parse(process.argv[2]!) as ClientTask;
const traffic = trafficOf([{ model, size: 'photos' }], 'classify', new Map([['photos', await readPhotos(photos)]]));
const crowd = startClients(url, traffic, clients, first);

function send(message: ClientMessage): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

const POLL_MS = 20;
const waiting = setInterval(() => {
  if (crowd.answers.length < clients) return;
  clearInterval(waiting);
  void send({ kind: 'ready', usage: process.cpuUsage() });
}, POLL_MS);

process.once('message', () => {
  const usage = process.cpuUsage();
  // `at` by the clock that all processes have.
  const answers = crowd.answers.map((answer) => ({ ...answer, at: performance.timeOrigin + answer.at }));
  void send({ kind: 'answers', usage, answers }).then(() => process.exit(0));
});
process.once('disconnect', () => process.exit(1));
