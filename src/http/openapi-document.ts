/** Prints the OpenAPI document; `npm run openapi` puts it into openapi/openapi.json. */
import { openapiDocument } from './openapi.js';

process.stdout.write(JSON.stringify(openapiDocument(), null, 2) + '\n');
