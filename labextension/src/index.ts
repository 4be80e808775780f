import { commandsPlugin } from './plugins/commands';
import { panelPlugin } from './plugins/panel';
import { statusPlugin } from './plugins/statusbar';

export default [panelPlugin, commandsPlugin, statusPlugin];
