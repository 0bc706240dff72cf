/*
 * completion.c - what a shell needs to complete commands and flags, out of the tables that the
 * program itself reads.
 *
 *     weir completion bash > /etc/bash_completion.d/weir
 *
 * Nothing is asked at run time: the scripts know it all, and need no files but what they are in.
 */
#include "cli/command.h"

/* Each command that people are told of. */
typedef void command_fn(const char *program, const struct wr_command *cmd);

static void each(const char *program, command_fn *fn)
{
    for (const struct wr_command_group *g = wr_command_groups; g->heading; g++)
        for (size_t i = 0; g->commands[i]; i++)
            fn(program, g->commands[i]);
}

static bool takes_path(const struct wr_flag *f)
{
    return f->value && wr_str_eq(wr_str(f->value), WR_STR("PATH"));
}

/* The words that a flag takes, where they are few; NULL: others. */
static const char *words_of(const struct wr_flag *f)
{
    if (f->kind == WR_FLAG_LEVEL)
        return "0 1 2 3 4 5 6 7 8 9 all";
    if (wr_str_eq(wr_str(f->name), WR_STR("log-level")))
        return "debug info warn error";
    if (wr_str_eq(wr_str(f->name), WR_STR("integrity-check")))
        return "none quick full";
    return NULL;
}

/* Text for between two single quotes; `also` are characters that want a backslash there. */
static void put_quoted(const char *text, const char *quote, const char *also)
{
    for (; *text; text++) {
        if (*text == '\'') {
            (void)fputs(quote, stdout);
            continue;
        }
        if (strchr(also, *text))
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

static void put_name(const char *program, const struct wr_command *cmd)
{
    (void)program;
    (void)printf("%s ", cmd->name);
}

/* ---- bash ---- */

static void bash_flags(const char *program, const struct wr_command *cmd)
{
    (void)program;
    (void)printf("    %s%s%s)\n        flags='", cmd->name, cmd->alias ? "|" : "",
        cmd->alias ? cmd->alias : "");
    for (const struct wr_flag *f = cmd->flags; f->name; f++)
        (void)printf("-%s ", f->name);
    (void)printf("-help'\n");
    for (const struct wr_flag *f = cmd->flags; f->name; f++) {
        if (f->kind == WR_FLAG_BOOL)
            continue;
        (void)printf("        [[ $prev = -%s || $prev = --%s ]] && ", f->name, f->name);
        if (takes_path(f))
            (void)printf("return\n");
        else
            (void)printf("values='%s'\n", words_of(f) ? words_of(f) : " ");
    }
    (void)printf("        ;;\n");
}

/* An empty answer lets bash complete names of files; `values` that are blank are a value that
 * nobody can guess. */
static void bash(const char *program)
{
    (void)printf("# Completion for bash. Made by: %s completion bash\n"
                 "_weir_complete() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local commands='",
        program);
    each(program, put_name);
    (void)printf("help'\n"
                 "    local flags='' values=''\n"
                 "    COMPREPLY=()\n"
                 "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                 "        COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
                 "        return\n"
                 "    fi\n"
                 "    [[ \" ${COMP_WORDS[*]:0:COMP_CWORD} \" == *' -- '* ]] && return\n"
                 "    case ${COMP_WORDS[1]} in\n");
    each(program, bash_flags);
    (void)printf("    help) [ \"$COMP_CWORD\" -eq 2 ] && values=$commands || values=' ' ;;\n"
                 "    *) return ;;\n"
                 "    esac\n"
                 "    if [ -n \"$values\" ]; then\n"
                 "        compopt +o default 2>/dev/null\n"
                 "        COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
                 "    elif [ \"${cur:0:1}\" = - ]; then\n"
                 "        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
                 "    fi\n"
                 "}\n"
                 "complete -o default -F _weir_complete %s\n",
        program);
}

/* ---- zsh ---- */

static void zsh_command(const char *program, const struct wr_command *cmd)
{
    (void)program;
    (void)printf("        '%s:", cmd->name);
    put_quoted(cmd->summary, "'\\''", ":\\");
    (void)printf("'\n");
}

static void zsh_flags(const char *program, const struct wr_command *cmd)
{
    (void)program;
    (void)printf("    %s%s%s)\n        _arguments \\\n", cmd->name, cmd->alias ? "|" : "",
        cmd->alias ? cmd->alias : "");
    for (const struct wr_flag *f = cmd->flags; f->name; f++) {
        (void)printf("            '%s-%s[", f->kind == WR_FLAG_TEXTS ? "*" : "", f->name);
        put_quoted(f->help, "'\\''", "[]:\\");
        (void)putchar(']');
        if (f->kind != WR_FLAG_BOOL) {
            (void)putchar(':');
            put_quoted(f->value, "'\\''", ":\\");
            if (takes_path(f))
                (void)printf(":_files");
            else if (words_of(f))
                (void)printf(":(%s)", words_of(f));
            else
                (void)printf(": ");
        }
        (void)printf("' \\\n");
    }
    (void)printf("            '*:database or replica:_files'\n        ;;\n");
}

static void zsh(const char *program)
{
    (void)printf("#compdef %s\n"
                 "# Completion for zsh. Made by: %s completion zsh\n"
                 "_weir() {\n"
                 "    local -a commands\n"
                 "    commands=(\n",
        program, program);
    each(program, zsh_command);
    (void)printf("        'help:explain a command'\n"
                 "    )\n"
                 "    if (( CURRENT == 2 )); then\n"
                 "        _describe command commands\n"
                 "        return\n"
                 "    fi\n"
                 "    shift words\n"
                 "    (( CURRENT-- ))\n"
                 "    case $words[1] in\n");
    each(program, zsh_flags);
    (void)printf("    help) _describe command commands ;;\n"
                 "    esac\n"
                 "}\n"
                 "if [[ $funcstack[1] == _weir || $funcstack[1] == _%s ]]; then\n"
                 "    _weir \"$@\"\n"
                 "else\n"
                 "    compdef _weir %s\n"
                 "fi\n",
        program, program);
}

/* ---- fish ---- */

static void fish_command(const char *program, const struct wr_command *cmd)
{
    (void)printf("complete -c %s -n __fish_use_subcommand -a %s -d '", program, cmd->name);
    put_quoted(cmd->summary, "\\'", "\\");
    (void)printf("'\n");
    for (const struct wr_flag *f = cmd->flags; f->name; f++) {
        (void)printf("complete -c %s -n '__fish_seen_subcommand_from %s%s%s' -o %s", program,
            cmd->name, cmd->alias ? " " : "", cmd->alias ? cmd->alias : "", f->name);
        if (takes_path(f))
            (void)printf(" -r -F");
        else if (words_of(f))
            (void)printf(" -x -a '%s'", words_of(f));
        else if (f->kind != WR_FLAG_BOOL)
            (void)printf(" -x");
        (void)printf(" -d '");
        put_quoted(f->help, "\\'", "\\");
        (void)printf("'\n");
    }
}

static void fish(const char *program)
{
    (void)printf("# Completion for fish. Made by: %s completion fish\n"
                 "complete -c %s -n __fish_use_subcommand -f\n",
        program, program);
    each(program, fish_command);
    (void)printf("complete -c %s -n __fish_use_subcommand -a help -d 'explain a command'\n"
                 "complete -c %s -n '__fish_seen_subcommand_from help' -f -a '",
        program, program);
    each(program, put_name);
    (void)printf("'\n");
}

/* The program under the name that it was called by, if that can stand in a script as it is. */
static const char *name_of(const struct wr_cli *cli)
{
    for (const char *p = cli->program; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            *p != '_' && *p != '-' && *p != '.')
            return "weir";
    return cli->program;
}

static const struct {
    const char *name;
    void (*print)(const char *program);
} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_completion, argc, argv, NULL, &args, &code))
        return code;
    for (size_t i = 0; args.n == 1 && i < wr_countof(shells); i++)
        if (wr_str_eq(wr_str(args.positional[0]), wr_str(shells[i].name))) {
            shells[i].print(name_of(cli));
            return WR_EXIT_OK;
        }
    return wr_cli_fail("the shell must be bash, zsh or fish", "weir completion bash");
}

static const struct wr_flag flags[] = {{0}};
static const char *const synopsis[] = {"bash|zsh|fish", NULL};
static const char *const examples[] = {"bash", NULL};

const struct wr_command wr_command_completion = {
    .name = "completion",
    .summary = "print what a shell needs to complete commands and flags",
    .about = "Print what a shell needs to complete commands and flags. Installed with the program.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
