/** A layer as the topology of a Keras model lists it, in any dialect. */
import { z } from 'zod';

const options = z.record(z.string(), z.unknown());
export const entrySchema = z.looseObject({
  class_name: z.string(),
  name: z.string().min(1).nullish(),
  module: z.string().nullish(),
  registered_name: z.string().nullish(),
  config: z.union([options, z.array(z.unknown())]),
  inbound_nodes: z.unknown().optional(),
});
export type LayerEntry = z.output<typeof entrySchema>;
