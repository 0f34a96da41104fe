/** Prints the OpenAPI document; `npm run openapi` puts it into openapi/openapi.json. */
import { openapiDocument } from './openapi.js';
import { ROUTES } from './routes/index.js';

process.stdout.write(JSON.stringify(openapiDocument(ROUTES), null, 2) + '\n');
